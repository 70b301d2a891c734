"""Deep clustering draws texts and centres together by KL(p‖q), and says what it has made of a k-means."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.clusters.assign import assign
from worker.clusters.deepmap import mapped
from worker.clusters.spherical import Matrix, nearest, normalise, start
from worker.clusters.table import Table
from worker.errors import SettingsError
from worker.training.deep import Deep, Deepening, divergence, fit_map, soft_assignment, target_of
from worker.training.deepguard import AGREEMENT_FLOOR, Verdict, judge
from worker.training.progress import Silence

QUICK = Deepening(epochs=3, learning_rate=1e-3, batch_size=64, threads=1)
GOOD = Verdict(empty=0, agreement=0.9, silhouette=0.3, kmeans_silhouette=0.2)


def topics(count: int = 300, seed: int = 0, noise: float = 0.5) -> tuple[Matrix, Matrix]:
    """Rows around five directions, and the centres of a k-means."""
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(5, 12))[draw.integers(0, 5, count)] + draw.normal(size=(count, 12)) * noise
    rows = normalise(rows.astype(np.float32))
    return rows, start(rows, 5, seed)[0]


def fitted(rows: Matrix, centres: Matrix, options: Deepening = QUICK) -> Deep:
    return fit_map(rows, centres, options=options, progress=Silence())


def test_the_loss_of_two_texts_by_hand() -> None:
    """Two clusters at right angles, a text at one of them and one between them, distances as they are.

    q: 1/(1+0) : 1/(1+2) = 3/4 : 1/4, and 1/2 : 1/2. f = 5/4, 3/4. p of the first: 9/20 : 1/12 = 27/32 : 5/32; of the
    second: 1/5 : 1/3 = 3/8 : 5/8.
    """
    half = 0.5**0.5
    q = soft_assignment(torch.tensor([[1.0, 0.0], [half, half]]), torch.eye(2), 1.0)
    np.testing.assert_allclose(q, [[3 / 4, 1 / 4], [1 / 2, 1 / 2]], rtol=1e-6)
    p = target_of(q)
    np.testing.assert_allclose(p, [[27 / 32, 5 / 32], [3 / 8, 5 / 8]], rtol=1e-6)
    first = 27 / 32 * np.log(27 / 24) + 5 / 32 * np.log(5 / 8)
    second = 3 / 8 * np.log(3 / 4) + 5 / 8 * np.log(5 / 4)
    assert divergence(p, q).item() == pytest.approx((first + second) / 2, rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 9), st.floats(0.1, 50), st.integers(0, 1000))
def test_the_loss_is_that_of_the_paper(count: int, k: int, scale: float, seed: int) -> None:
    """As its formulas say, written down once more with numpy; each text's shares are 1 in all."""
    draw = np.random.default_rng(seed)
    z, mu = (normalise(draw.normal(size=(n, 6)).astype(np.float32)) for n in (count, k))
    q = 1 / (1 + scale * ((z[:, None].astype(float) - mu[None]) ** 2).sum(axis=2))
    q /= q.sum(axis=1, keepdims=True)
    p = q**2 / q.sum(axis=0)
    p /= p.sum(axis=1, keepdims=True)
    ours = soft_assignment(torch.from_numpy(z), torch.from_numpy(mu), scale)
    np.testing.assert_allclose(ours, q, rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(target_of(ours), p, rtol=5e-3, atol=1e-5)
    np.testing.assert_allclose(target_of(ours).sum(dim=1), 1, rtol=1e-5)
    assert divergence(target_of(ours), ours).item() == pytest.approx((p * np.log(p / q)).sum(axis=1).mean(), abs=1e-4)


def test_texts_come_nearer_to_their_centres() -> None:
    """That is what it learns; with each epoch a little more, and the clusters stay much those of the k-means."""
    rows, centres = topics(600, noise=1.0)
    found = [fitted(rows, centres, Deepening(n, 5e-3, 64, threads=1)) for n in (1, 2, 3)]
    assert [each.epochs for each in found] == [1, 2, 3]
    near = [(mapped(rows, each.map) @ each.centres.T).max(axis=1).mean() for each in found]
    assert all(after > before for before, after in pairwise([(rows @ centres.T).max(axis=1).mean(), *near]))
    deep = nearest(mapped(rows, found[-1].map), found[-1].centres)
    assert judge(rows, nearest(rows, centres), deep, k=5, seed=0).agreement > AGREEMENT_FLOOR


def test_equal_seeds_give_equal_clusters() -> None:
    """Bit by bit on one thread; another seed gives others."""
    rows, centres = topics()
    one, same, other = (fitted(rows, centres, Deepening(2, 1e-3, 64, seed, 1)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.map, same.map)
    np.testing.assert_array_equal(one.centres, same.centres)
    assert (one.map != other.map).any()


def test_a_worker_assigns_as_the_training_did() -> None:
    """The map is of numbers that its record can hold, so that the worker's clusters are those that were judged."""
    rows, centres = topics()
    found = fitted(rows, centres)
    np.testing.assert_array_equal(found.map, found.map.astype(np.float16))
    table = Table("default", 1, tuple(range(1, 6)), found.centres, threshold=-1.0, map=found.map)
    torches = torch.nn.functional.normalize(torch.from_numpy(rows) @ torch.from_numpy(found.map), dim=1)
    expected = (torches @ torch.from_numpy(found.centres).T).argmax(dim=1)
    assert [one - 1 for one in assign(table, rows).ids if one] == expected.tolist()


def test_what_is_settled_stays() -> None:
    """Where no text changes its cluster any more the training ends early."""
    rows, centres = topics(noise=0.05)
    assert fitted(rows, centres, Deepening(epochs=9, batch_size=64, threads=1)).epochs == 1


def test_numbers_that_are_none_are_refused() -> None:
    """A training that diverges says so, and gives no clusters."""
    rows, centres = topics()
    with pytest.raises(SettingsError, match="diverged"):
        fitted(rows, centres, Deepening(2, float("inf"), 64, threads=1))


def test_good_clusters_are_taken() -> None:
    """All of them have texts, they are much those of k-means, and no less apart."""
    assert GOOD.refused is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"empty": 2}, "2 of its clusters are empty"),
        ({"agreement": AGREEMENT_FLOOR - 0.01}, "NMI 0.590 only"),
        ({"silhouette": 0.19}, "silhouette is 0.1900, that of k-means 0.2000"),
    ],
    ids=["empty", "others", "less apart"],
)
def test_worse_clusters_are_refused(change: dict[str, float], why: str) -> None:
    """In one line."""
    assert why in (replace(GOOD, **change).refused or "")  # type: ignore[arg-type]


def test_figures_are_of_the_embeddings_as_they_came() -> None:
    """The same clusters by other numbers agree by 1 and have equal silhouettes; a collapsed one is worse."""
    rows, centres = topics()
    labels = nearest(rows, centres)
    same = judge(rows, labels, 4 - labels, k=5, seed=0)
    assert (same.empty, same.agreement) == (0, pytest.approx(1))
    assert same.silhouette == pytest.approx(same.kmeans_silhouette, abs=1e-6)
    assert judge(rows, labels, np.zeros_like(labels), k=5, seed=0) == Verdict(4, 0.0, -1.0, same.kmeans_silhouette)
