"""A first table from texts that are all there, and how good it is said to be."""

from __future__ import annotations

import numpy as np
import pytest

from tests.clusters.test_learner import blobs
from worker.clusters.fitting import born, first_table, silhouettes
from worker.clusters.judging import judged
from worker.clusters.learner import Learner
from worker.clusters.recipe import Recipe
from worker.clusters.samples import Samples
from worker.clusters.spherical import nearest

RECIPE = Recipe(k=4, warmup=300)
NOW_MS = 1_800_000_000_000


def samples(rows: np.ndarray, first: int = 0) -> Samples:
    count = len(rows)
    return Samples(rows, [["red", "card"]] * count, np.full(count, NOW_MS), first + np.arange(count))


def test_the_first_version_is_as_if_just_born():
    """Ids from 1, without a past: anchors are the centres, every text counts, no sample of a stream is learned."""
    rows, truth = blobs(1000)
    table = first_table(samples(rows), RECIPE)
    assert (table.version, table.ids, table.next_id, table.position) == (1, (1, 2, 3, 4), 5, 0)
    np.testing.assert_array_equal(table.anchors, table.centres)
    assert (int(table.seen.sum()), set(table.last_ms.tolist())) == (1000, {NOW_MS})
    assert int(table.counts.max()) <= RECIPE.count_cap
    assert [(event.kind, event.parents, event.children) for event in born(table)] == [
        ("born", (), (one,)) for one in table.ids
    ]
    places = nearest(rows, table.centres)
    assert len({(t, p) for t, p in zip(truth.tolist(), places.tolist(), strict=True)}) == 4


def test_a_learner_goes_on_from_it():
    """With the first sample that there is."""
    rows, _ = blobs(1000)
    learner = Learner(RECIPE, first_table(samples(rows), RECIPE))
    learner.learn(samples(rows[:256]))
    assert (learner.table.version, learner.table.position) == (2, 256)
    assert int(learner.table.seen.sum()) == 1256


def test_the_same_texts_give_the_same_table():
    """And what the model could not read does not matter."""
    rows, _ = blobs(600)
    spoilt = np.concatenate((rows, np.full((5, 8), np.nan, np.float32), np.zeros((5, 8), np.float32)))
    one, other = (first_table(samples(found), RECIPE) for found in (rows, spoilt))
    np.testing.assert_array_equal(one.centres, other.centres)
    assert one.ids == other.ids


@pytest.mark.parametrize("rows", [np.zeros((3, 8), np.float32), np.zeros((0, 8), np.float32)])
def test_of_nothing_there_is_no_table(rows):
    """Not even one of one cluster."""
    assert first_table(samples(rows), RECIPE).ids == ()


def test_copies_of_one_text_are_one_cluster():
    """However many there are."""
    rows = np.repeat(blobs(1)[0], 500, axis=0)
    assert len(first_table(samples(rows), RECIPE).ids) == 1


def test_the_silhouette_finds_how_many_topics_there_are():
    """Of topics well apart it is the best at their number."""
    rows, _ = blobs(900, topics=8, size=24, seed=1)
    found = silhouettes(rows, seed=0)
    assert max(found, key=lambda k: found[k]) == 8
    assert all(-1 <= value <= 1 for value in found.values())


def test_a_table_is_judged_by_labels():
    """Clusters that are the labels agree with them in all; texts that nobody could read are in no figure."""
    rows, truth = blobs(1000)
    table = first_table(samples(rows), RECIPE)
    spoilt = np.concatenate((rows, np.full((2, 8), np.nan, np.float32)))
    found = judged(table, spoilt, [*map(str, truth.tolist()), "0", "0"], 0)
    assert (found.texts, found.unread) == (1000, 2)
    assert found.agreement is not None
    assert found.agreement.labels == 4
    assert found.agreement.nmi > 0.95
    assert found.agreement.accuracy > 0.97
    assert 0.02 < found.unassigned < 0.1
    assert sum(found.sizes.values()) == round(1000 * (1 - found.unassigned))
    assert found.silhouette is not None


def test_without_labels_there_is_no_agreement():
    """Nor a silhouette where there is one cluster only."""
    rows, _ = blobs(500)
    table = first_table(samples(rows), RECIPE)
    found = judged(table, np.repeat(rows[:1], 3, axis=0), None, 0)
    assert (found.agreement, found.silhouette, found.texts) == (None, None, 3)
    assert judged(table, np.zeros((2, 8), np.float32), None, 0).unread == 2


def test_a_map_shows_no_texts():
    """A PNG, and a page with it that names the clusters and nothing that a browser would run."""
    pytest.importorskip("matplotlib")
    from dataclasses import replace

    from worker.clusters.picture import page, picture

    rows, _ = blobs(300)
    table = replace(first_table(samples(rows), RECIPE), names={1: "<b>card</b> $x"})
    image = picture(table, rows, 0)
    assert image.startswith(b"\x89PNG")
    assert "&lt;b&gt;card" in page(table, image)
