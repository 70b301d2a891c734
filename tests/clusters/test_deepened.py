"""A table with a map, as deep clustering makes it: assigned by, learned on, published and read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worker.clusters.assign import assign
from worker.clusters.deepened import WIDEST, deepened, refuse_wide
from worker.clusters.deepmap import mapped
from worker.clusters.learner import Learner
from worker.clusters.recipe import Recipe
from worker.clusters.samples import Samples
from worker.clusters.spherical import Matrix, normalise
from worker.clusters.table import Table
from worker.clusters.wire import Pair, Replica, records
from worker.errors import SettingsError
from worker.frames import Frame

DRAW = np.random.default_rng(7)
TOPICS = DRAW.normal(size=(4, 8))
MATRIX = (np.eye(8) + DRAW.normal(size=(8, 8)) * 0.3).astype(np.float16).astype(np.float32)
CENTRES = mapped(normalise(TOPICS.astype(np.float32)), MATRIX)
RECIPE = Recipe(k=4, warmup=60)


def samples(count: int = 400, seed: int = 0, first: int = 0) -> Samples:
    draw = np.random.default_rng(seed)
    topics = draw.integers(0, 4, count)
    rows = normalise((TOPICS[topics] + draw.normal(size=(count, 8)) * 0.2).astype(np.float32))
    positions = np.arange(count) + first
    return Samples(rows, [[f"topic{topic}", f"other{i}"] for i, topic in enumerate(topics)], positions, positions)


def table(centres: Matrix = CENTRES) -> Table:
    return deepened(Table("default", 1), samples(), centres, MATRIX, RECIPE)


def read(pairs: list[Pair], replica: Replica | None = None) -> Table:
    replica = replica or Replica("default")
    for key, value in pairs:
        replica.take(key, value)
    assert replica.newest is not None
    return replica.newest.table


def test_texts_are_compared_behind_the_map() -> None:
    """The nearest centre of `row @ map`, made unit length; a row that points nowhere is unassigned as ever."""
    rows = samples(50).embeddings
    rows[3], rows[4] = 0, np.nan
    given = assign(table(), rows)
    moved = rows @ MATRIX
    for place, one in enumerate(given.ids):
        if place in (3, 4):
            assert (one, given.similarity[place]) == (None, 0)
            continue
        cosines = CENTRES @ moved[place] / np.linalg.norm(moved[place])
        assert given.similarity[place] == pytest.approx(cosines.max(), abs=1e-5)
        assert one in (None, cosines.argmax() + 1)


def test_a_table_without_a_map_compares_the_texts_themselves() -> None:
    """Nothing is changed, nor copied."""
    rows = samples(50).embeddings
    assert mapped(rows, None) is rows
    plain = replace(table(), map=None)
    np.testing.assert_array_equal(assign(plain, rows).similarity, (rows @ plain.centres.T).max(axis=1))
    assert [key for key, _ in records(plain, "enc", None)] == [
        b"default/1",
        b"default/2",
        b"default/3",
        b"default/4",
        b"default",
    ]


def test_a_deep_table_begins_as_if_its_clusters_had_just_been_born() -> None:
    """Ids from 1, names by their own texts, a threshold that nearly all reach, and nobody without texts."""
    far = -CENTRES.mean(axis=0, keepdims=True)
    found = table(np.concatenate((CENTRES[:1], normalise(far), CENTRES[1:])))
    assert (found.ids, found.next_id, found.version, found.position) == ((1, 2, 3, 4), 5, 1, 0)
    assert found.names == {topic + 1: f"topic{topic}" for topic in range(4)}
    assert found.seen.sum() == 400
    unassigned = assign(found, samples().embeddings).ids.count(None)
    assert unassigned == pytest.approx(400 * RECIPE.unassigned_quantile, abs=2)


def test_names_can_be_left_out() -> None:
    """As everywhere."""
    found = deepened(Table("default", 1), samples(), CENTRES, MATRIX, replace(RECIPE, names=False))
    assert (found.names, found.words) == ({}, {})


def test_a_learner_goes_on_behind_the_map() -> None:
    """It is given embeddings as they are; centres stay where the map puts its topics, and ids mean what they meant."""
    learner = Learner(RECIPE, table())
    learner.recall(samples(100, seed=2))
    learner.learn(samples(1024, seed=1, first=1000))
    assert learner.table.version == 5
    assert learner.table.map is not None
    np.testing.assert_allclose(learner.table.centres, CENTRES, atol=0.1)
    rows = samples(200, seed=3).embeddings
    kept = [(one, other) for one, other in zip(assign(table(), rows).ids, assign(learner.table, rows).ids, strict=True)]
    assert all(one == other for one, other in kept if None not in (one, other))


def test_a_map_is_published_once_and_comes_back_whole() -> None:
    """With the first version, by a key of its own; later versions name it, and readers keep it."""
    first = table()
    learner = Learner(RECIPE, first)
    learner.learn(samples(256, seed=1, first=1000))
    begun, later = records(first, "enc", None), records(learner.table, "enc", first)
    assert [key for key, _ in begun].count(b"default/map") == 1
    assert b"default/map" not in [key for key, _ in later]
    replica = Replica("default")
    for pairs, expected in ((begun, first), (later, learner.table)):
        found = read(pairs, replica)
        np.testing.assert_array_equal(found.map, MATRIX)
        assert assign(found, samples().embeddings).ids == assign(expected, samples().embeddings).ids


def test_a_version_without_its_map_is_not_whole() -> None:
    """While a map is missing, or is that of another version, the reader stays with what it has."""
    other = replace(table(), map=MATRIX.T.copy(), version=2)
    begun, later = records(table(), "enc", None), records(other, "enc", table())
    without = [pair for pair in begun if pair[0] != b"default/map"]
    replica = Replica("default")
    assert not any(replica.take(*pair) for pair in without)
    assert replica.newest is None
    assert read(begun, replica).version == 1
    early = [pair for pair in later if pair[0] != b"default/map"]
    assert not any(replica.take(*pair) for pair in early)
    assert read(later, replica).version == 2


def test_a_map_ends_with_its_table() -> None:
    """A table without one leaves a tombstone, and readers assign by the embeddings again."""
    plain = replace(table(), map=None, version=2)
    pairs = records(plain, "enc", table())
    assert (b"default/map", None) in pairs
    replica = Replica("default")
    read(records(table(), "enc", None), replica)
    assert read(pairs, replica).map is None


def test_a_table_with_a_map_goes_to_another_process() -> None:
    """As one without."""
    found = Table.from_frame(Frame.from_bytes(table().to_frame().to_bytes()))
    np.testing.assert_array_equal(found.map, MATRIX)
    assert Table.from_frame(Frame.from_bytes(replace(table(), map=None).to_frame().to_bytes())).map is None


def test_the_widest_map_fits_into_a_record() -> None:
    """A topic takes 1 MiB a record by default, so wider encoders are refused before anything is computed."""
    refuse_wide(WIDEST)
    wide = replace(table(), map=np.eye(WIDEST, dtype=np.float32))
    (value,) = (value for key, value in records(wide, "enc", None) if key == b"default/map")
    assert value is not None
    assert len(value) < 2**20 - 1024
    with pytest.raises(SettingsError, match="768 dimensions would not fit"):
        refuse_wide(768)
