"""A table on its topic, and samples on theirs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.clusters.learner import Learner
from worker.clusters.lineage import Event
from worker.clusters.recipe import Recipe
from worker.clusters.samples import Samples
from worker.clusters.spherical import normalise
from worker.clusters.table import Table
from worker.clusters.wire import Pair, Replica, event_records, records, sample_value, samples_of
from worker.clusters.wordcounts import Words
from worker.errors import Stop


def versions(count: int, seed: int = 0) -> list[Table]:
    """A table and how it went on, with ids that end and begin."""
    random = np.random.default_rng(seed)
    learner = Learner(Recipe(k=6, warmup=60, swap_ratio=0.1, drift_cosine=0.99))
    found = []
    for step in range(count):
        topics = random.normal(size=(6, 8)) if step % 3 == 0 else topics  # noqa: F821
        size = 60 if not step else 256
        rows = normalise((topics[random.integers(0, 6, size)] + random.normal(size=(size, 8)) * 0.1).astype(np.float32))
        positions = np.arange(size) + step * 1000
        words = [["red", "card", f"only{position}"] for position in positions.tolist()]
        learner.learn(Samples(rows, words, positions * 1000, positions))
        found.append(learner.table)
    return found


def log_of(tables: list[Table]) -> list[Pair]:
    pairs: list[Pair] = []
    for previous, table in zip([None, *tables], tables, strict=False):
        pairs += records(table, "enc", previous)
    return pairs


def words_of(table: Table, one: int) -> tuple[float, dict[str, float]]:
    """Without what depends on other clusters."""
    words = table.words.get(one, Words())
    return words.weight, {word.word: word.weight for word in words.top}


def assert_same(one: Table, other: Table) -> None:
    assert (one.name, one.version, one.ids, one.names) == (other.name, other.version, other.ids, other.names)
    assert (one.next_id, one.position, one.at_ms, one.threshold) == (
        other.next_id,
        other.position,
        other.at_ms,
        other.threshold,
    )
    assert [words_of(one, i) for i in one.ids] == [words_of(other, i) for i in other.ids]
    for field in ("centres", "anchors", "counts", "seen", "last_ms"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
        assert getattr(one, field).dtype == getattr(other, field).dtype


TABLES = versions(10)


def test_ids_end_and_begin_in_these_versions():
    """Else the tests below would show little."""
    assert len({table.ids for table in TABLES}) > 2


def test_every_version_comes_back():
    """A reader has each version, whole, when its header has come, and not before."""
    replica, found = Replica("default"), []
    for key, value in log_of(TABLES):
        if replica.take(key, value):
            assert replica.newest is not None
            found.append(replica.newest.table)
    for one, other in zip(found, TABLES, strict=True):
        assert_same(one, other)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.data())
def test_compaction_never_makes_a_version_of_two(upto, data):
    """Of a topic compacted up to anywhere, a reader sees the newest whole version, and of the others none or all."""
    log = log_of(TABLES)
    upto = upto % len(log)
    kept = {key: i for i, (key, _) in enumerate(log[:upto])}
    left = [pair for i, pair in enumerate(log) if i >= upto or kept.get(pair[0]) == i]
    gone = data.draw(st.sets(st.sampled_from([i for i, (_, value) in enumerate(left) if value is None] or [0])))
    left = [pair for i, pair in enumerate(left) if i not in gone or pair[1] is not None]  # tombstones go in the end
    replica = Replica("default")
    for key, value in left:
        if replica.take(key, value):
            assert replica.newest is not None
            assert_same(replica.newest.table, TABLES[replica.newest.table.version - 1])
    assert replica.newest is not None
    assert replica.newest.table.version == len(TABLES)


def test_words_for_names_come_back():
    """A learner that takes over has them: from the records alone it gives the same names."""
    replica = Replica("default")
    for pair in records(TABLES[-1], "enc", None):
        replica.take(*pair)
    assert replica.newest is not None
    assert any(own.top for own in TABLES[-1].words.values())
    assert replica.newest.table.words == {one: own for one, own in TABLES[-1].words.items() if own.weight}


def test_words_that_have_changed_are_written():
    """Else a learner that takes over would begin with older ones."""
    table = TABLES[-1]
    one = next(i for i, own in table.words.items() if own.top)
    words = {**table.words, one: Words(table.words[one].weight + 1, table.words[one].top)}
    changed = replace(table, version=table.version + 1, words=words)
    assert [key for key, _ in records(changed, "enc", table)] == [f"default/{one}".encode(), b"default"]


def test_only_what_has_changed_is_written():
    """The topic gets the changed clusters and the header, not the whole table."""
    table = TABLES[-1]
    counts = table.counts.copy()
    counts[0] += 1
    changed = replace(table, version=table.version + 1, counts=counts)
    assert [key for key, _ in records(changed, "enc", table)] == [f"default/{table.ids[0]}".encode(), b"default"]


def test_ids_that_ended_get_a_tombstone():
    """So that compaction forgets them."""
    one, other = next((one, other) for one, other in pairwise(TABLES) if set(one.ids) - set(other.ids))
    gone = {f"default/{i}".encode() for i in set(one.ids) - set(other.ids)}
    assert {key for key, value in records(other, "enc", one) if value is None} == gone


def test_other_tables_are_passed_over():
    """One topic may hold several tables."""
    replica = Replica("news")
    assert not any(replica.take(key, value) for key, value in log_of(TABLES))
    assert replica.newest is None


@pytest.mark.parametrize("value", [b"{", b'{"schema_version": 2, "table": "default"}'])
def test_a_later_versions_table_is_refused(value):
    """A worker that cannot read the table says so in one line, and does not go on with half of it."""
    with pytest.raises(Stop, match=r"cannot read \(\w+.*\): update this worker"):
        Replica("default").take(b"default", value)


def test_what_is_no_record_of_ours_is_passed_over():
    """A key that nobody of us wrote harms nothing."""
    replica = Replica("default")
    assert not replica.take(None, b"x")
    assert not replica.take(b"default/x", b"x")
    assert not replica.take(b"\xff", None)


def test_samples_come_back():
    """But for the rounding of the embedding; those of other encoders and tables, and strangers, teach nothing."""
    row = normalise(np.arange(1, 9, dtype=np.float32)[None])[0]
    mine = sample_value("default", "enc", row, ["karte"], 7)
    others = [sample_value("default", "other", row, [], 1), sample_value("t", "enc", row, [], 1), b"x", None]
    found = samples_of([mine, *others, mine], [10, 11, 12, 13, 14, 15], "default", "enc")
    assert found is not None
    np.testing.assert_allclose(found.embeddings, [row, row], atol=1e-3)
    assert (found.words, found.times_ms.tolist(), found.positions.tolist()) == ([["karte"]] * 2, [7, 7], [10, 15])
    assert samples_of([b"x"], [1], "default", "enc") is None


def test_events_are_read_by_people():
    """An event says in JSON what happened to which ids."""
    ((key, value),) = event_records([Event("merged", (3, 4), (3,), 0, 5, "they had become one topic")], TABLES[0], None)
    assert key == b"default"
    assert value is not None
    assert b'"kind":"merged","parents":[3,4],"children":[3]' in value
