"""The learner, and the spherical k-means below it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from worker.clusters import spherical
from worker.clusters.assign import assign
from worker.clusters.learner import CHUNK, Learner
from worker.clusters.recipe import Recipe
from worker.clusters.samples import Samples
from worker.clusters.table import Table
from worker.frames import Frame


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As in the learner's process; beside other tests, more threads than cores only wait for each other."""
    with threadpool_limits(limits=1):
        yield


def blobs(count: int, *, topics: int = 4, size: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows around random directions, and which."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, topics, count)
    directions = np.random.default_rng(99).normal(size=(topics, size))
    noisy = directions[truth] + random.normal(size=(count, size)) * 0.3
    return spherical.normalise(noisy.astype(np.float32)), truth


def samples(rows: np.ndarray, first: int = 0, words: list[list[str]] | None = None) -> Samples:
    """One a second."""
    positions = first + np.arange(len(rows))
    return Samples(rows, words or [[] for _ in rows], positions * 1000, positions)


def learned(rows: np.ndarray, recipe: Recipe, *cuts: int) -> Learner:
    learner = Learner(recipe)
    first = 0
    for part in np.split(rows, sorted(cuts)):
        learner.learn(samples(part, first))
        first += len(part)
    return learner


def test_topics_are_found_and_far_texts_are_not():
    """Well apart topics each get a cluster; about the given share of known texts, and all far ones, are unassigned."""
    rows, truth = blobs(2000)
    table = learned(rows, Recipe(k=4, warmup=500)).table
    fresh, truth = blobs(1000, seed=1)
    ids = np.array([i or 0 for i in assign(table, fresh).ids])
    homes = [np.bincount(ids[(truth == t) & (ids > 0)]).argmax() for t in range(4)]
    assert sorted(homes) == [1, 2, 3, 4]
    assert np.isin(ids, [0, *homes]).all()
    assert 0.02 < (ids == 0).mean() < 0.09
    assert set(assign(table, -fresh[:5]).ids) <= {None, *homes}


def test_the_warm_up_has_no_clusters():
    """One sample short of the warm-up the table is empty; the next one publishes version 1."""
    rows, _ = blobs(300)
    learner = learned(rows[:299], Recipe(k=4, warmup=300))
    assert (learner.table.version, learner.table.ids) == (0, ())
    learner.learn(samples(rows[299:], 299))
    assert learner.table.version == 1
    assert np.linalg.norm(learner.table.centres, axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("count", [1, 3, 40])
def test_fewer_samples_than_clusters_never_raise(count):
    """Where `partial_fit` with fewer samples than clusters would raise, the warm-up waits for k (field report 15)."""
    rows, _ = blobs(count)
    learner = learned(rows, Recipe(k=40, warmup=2))
    assert len(learner.table.ids) == (40 if count == 40 else 0)


def test_more_clusters_than_a_step_has_samples():
    """k above the size of a step works (field report 15)."""
    rows, _ = blobs(CHUNK + 44 + CHUNK, size=32)
    table = learned(rows, Recipe(k=CHUNK + 44, warmup=1)).table
    assert (table.version, len(table.ids)) == (2, CHUNK + 44)


@pytest.mark.parametrize("noise", [0, 1e-7], ids=["equal", "but for the last bits"])
def test_copies_of_one_text_are_one_cluster(noise):
    """5,000 copies of one text leave no empty cluster and no second one (field report 15), and are assigned to it."""
    copies = np.repeat(blobs(1)[0], 5000, axis=0)
    copies += np.random.default_rng(0).normal(size=copies.shape).astype(np.float32) * noise
    table = learned(copies, Recipe(k=8, warmup=1000)).table
    assert (table.ids, table.counts.tolist(), table.seen.tolist()) == ((1,), [Recipe().count_cap], [1000 + 15 * CHUNK])
    assert set(assign(table, copies[:7]).ids) == {1}


def test_copies_of_one_text_after_the_warm_up_harm_no_other_cluster():
    """A flood of one text moves only its own centre: ids go on meaning the same (field report 15)."""
    rows, truth = blobs(1000)
    learner = learned(rows, Recipe(k=4, warmup=1000))
    before = learner.table
    flood = np.repeat(rows[:1], 5000, axis=0)
    learner.learn(samples(flood, 1000))
    others = rows[truth != truth[0]]
    nearest = [spherical.nearest(others, table.centres) for table in (before, learner.table)]
    assert (nearest[0] == nearest[1]).mean() > 0.99


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**64), bad=st.sets(st.integers(0, 899)), cuts=st.lists(st.integers(0, 900), max_size=5))
def test_the_same_samples_give_the_same_table(seed, bad, cuts):
    """However the calls are cut, and whatever unusable rows lie between: same versions, same ids, same centres."""
    rows, _ = blobs(900)
    recipe = Recipe(k=6, warmup=50, seed=seed)
    dirty = rows.copy()
    dirty[sorted(bad)] = [np.nan, *[0] * 7]
    dirty[sorted(bad)[::2]] = 0
    one, other = learned(dirty, recipe, *cuts).table, learned(np.delete(rows, sorted(bad), axis=0), recipe).table
    assert (one.version, one.ids) == (other.version, other.ids)
    np.testing.assert_allclose(one.centres, other.centres, atol=1e-5)
    assert one.threshold == pytest.approx(other.threshold, abs=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=3, max_size=8), st.integers(2, 12))
def test_ids_and_counts_keep_their_word(sizes, k):
    """Ids are distinct, count from 1 and stay; every assigned id is the table's; counts are capped; versions grow."""
    learner, before = Learner(Recipe(k=k, warmup=100)), Learner(Recipe()).table
    for seed, size in enumerate(sizes):
        rows, _ = blobs(size, seed=seed)
        learner.learn(samples(rows))
        table = learner.table
        assert table.version >= before.version
        assert len(set(table.ids)) == len(table.ids) <= k
        assert not before.ids or table.ids == before.ids
        assert min(table.ids, default=1) >= 1
        assert set(assign(table, rows).ids) <= {None, *table.ids}
        assert ((table.counts > 0) & (table.counts <= Recipe().count_cap)).all()
        before = table


def test_update_equals_one_written_by_hand():
    """By scikit-learn's public calls: counted mean of the old centre and its new rows, brought back to length 1."""
    rows, _ = blobs(600)
    centres, counts = spherical.start(rows[:300], 5, seed=0)
    counts = np.minimum(counts, 40)
    moved, counted = spherical.update(rows[300:], centres, counts, cap=60)
    labels = spherical.nearest(rows[300:], centres)
    for i, centre in enumerate(centres):
        own = rows[300:][labels == i]
        mean = (centre * counts[i] + own.sum(axis=0)) / (counts[i] + len(own))
        np.testing.assert_allclose(moved[i], mean / np.linalg.norm(mean), atol=1e-6)
        assert counted[i] == min(counts[i] + len(own), 60)
    assert moved.dtype == np.float32


def test_a_centre_without_rows_stays():
    """A cluster that nobody comes to keeps its centre and its count."""
    centres = np.eye(3, dtype=np.float32)
    rows = centres[[0, 0, 1]]
    moved, counts = spherical.update(rows, centres, np.array([3, 3, 3]), cap=200)
    np.testing.assert_allclose(moved, centres, atol=1e-7)
    assert counts.tolist() == [5, 4, 3]
    np.testing.assert_array_equal(spherical.lloyd(rows, centres)[2], centres[2])


def test_start_is_as_good_as_k_means_with_restarts():
    """The warm-up's spherical error is within 2 % of scikit-learn's own best of 10 starts."""
    from sklearn.cluster import KMeans

    rows, _ = blobs(800, topics=10)
    own, _ = spherical.start(rows, 10, seed=3)
    reference = spherical.normalise(KMeans(10, n_init=10, random_state=0).fit(rows).cluster_centers_)
    errors = [float((1 - (rows @ centres.T).max(axis=1)).sum()) for centres in (own, reference)]
    assert errors[0] <= errors[1] * 1.02


def test_clusters_get_the_names_of_their_words():
    """The table names each cluster by the words that its own texts have and the others lack."""
    rows, truth = blobs(600)
    topics = [["refund", "card"], ["parcel", "late"], ["login", "password"], ["screen", "broken"]]
    learner = Learner(Recipe(k=4, warmup=300))
    learner.learn(samples(rows, words=[["hello", *topics[t], f"only{i}"] for i, t in enumerate(truth)]))
    names = set(learner.table.names.values())
    assert {frozenset(name.split(", ")[:2]) for name in names} == {frozenset(topic) for topic in topics}


def told(rows: np.ndarray, truth: np.ndarray, first: int, topics: list[str]) -> Samples:
    """Messages that differ, about what each row's topic is called."""
    return samples(
        rows, first, [[topics[t], f"{topics[t]}s", f"only{first + i}"] for i, t in enumerate(truth.tolist())]
    )


def test_a_name_that_changes_is_an_event():
    """People see that a cluster is called something else: once, when it is sure; nothing else happens to it."""
    rows, truth = blobs(300 + 60 * CHUNK)
    learner = Learner(Recipe(k=4, warmup=300))
    learner.learn(told(rows[:300], truth[:300], 0, ["card", "parcel", "login", "screen"]))
    born, before = learner.take_events(), learner.table
    assert [event.kind for event in born] == ["born"] * 4
    learner.learn(told(rows[300:], truth[300:], 300, ["card", "parcel", "login", "tablet"]))
    (renamed,) = learner.take_events()
    (one,) = renamed.parents
    assert (renamed.kind, renamed.children) == ("renamed", (one,))
    assert before.names[one] == "screen, screens"
    assert learner.table.names[one].startswith("tablet, tablets")
    others = set(before.ids) - {one}
    assert {i: before.names[i] for i in others} == {i: learner.table.names[i] for i in others}


def test_names_survive_their_learner():
    """Another learner goes on from what the table keeps: the same names, and no event tells otherwise."""
    rows, truth = blobs(300 + 8 * CHUNK)
    topics = ["card", "parcel", "login", "screen"]
    learner = Learner(Recipe(k=4, warmup=300))
    learner.learn(told(rows[:300], truth[:300], 0, topics))
    after = Learner(Recipe(k=4, warmup=300), Table.from_frame(Frame.from_bytes(learner.table.to_frame().to_bytes())))
    assert after.table.words == learner.table.words
    after.recall(told(rows[:300], truth[:300], 0, topics))
    after.learn(told(rows[300:], truth[300:], 300, topics))
    assert after.table.version == 9
    assert after.table.names == learner.table.names
    assert after.take_events() == []


def test_switched_off_names_go():
    """With `clusters.names: false` the next refresh forgets names and words; what a person called a cluster stays."""
    rows, truth = blobs(300 + 4 * CHUNK)
    learner = Learner(Recipe(k=4, warmup=300))
    learner.learn(told(rows[:300], truth[:300], 0, ["card", "parcel", "login", "screen"]))
    called = replace(learner.table, named=frozenset([2]))
    after = Learner(Recipe(k=4, warmup=300, names=False), called)
    after.learn(samples(rows[300:], 300))
    assert (after.table.names, after.table.words) == ({2: called.names[2]}, {})
