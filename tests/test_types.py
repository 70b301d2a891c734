"""The invariants of a batch that is cut in two."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from worker.types import Batch, Outcome, Output, Partition, Record

PLACES = [Partition("a", 0), Partition("a", 1), Partition("b", 0)]


def _record(place: Partition, offset: int) -> Record:
    return Record(*place, offset, None, None, b"x")


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Partitions interleaved at will, gaps between offsets, and transaction markers behind the last record."""
    order = draw(st.lists(st.sampled_from(PLACES), max_size=20))
    position = {place: draw(st.integers(0, 10**6)) for place in PLACES}
    records = []
    for place in order:
        position[place] += draw(st.integers(0, 5))
        records.append(_record(place, position[place]))
        position[place] += 1
    only_markers = draw(st.sets(st.sampled_from(PLACES)))
    offsets = {p: position[p] + draw(st.integers(0, 3)) for p in PLACES if p in order or p in only_markers}
    return Batch(tuple(records), offsets, epoch=3, fence="group", topic_ids={"a": "id"})


def _offsets(records: Sequence[Record], place: Partition) -> list[int]:
    return [r.offset for r in records if (r.topic, r.partition) == place]


@given(batch=batches(), data=st.data())
def test_both_halves_together_are_the_batch(batch: Batch, data: st.DataObject) -> None:
    """All records in their order, and for each partition, delivered one after the other, the offset of the batch."""
    index = data.draw(st.integers(0, len(batch.records)))
    head, tail = batch.cut(index)
    assert head.records == batch.records[:index]
    assert head.records + tail.records == batch.records
    assert {**head.offsets, **tail.offsets} == batch.offsets


@given(batch=batches(), data=st.data())
def test_no_half_commits_past_what_it_delivers(batch: Batch, data: st.DataObject) -> None:
    """A crash between the halves loses nothing and repeats nothing: the head commits just what it holds."""
    head, tail = batch.cut(data.draw(st.integers(0, len(batch.records))))
    for place, committed in head.offsets.items():
        assert all(offset >= committed for offset in _offsets(tail.records, place))
    for half in (head, tail):
        for place in PLACES:
            assert all(offset < half.offsets[place] for offset in _offsets(half.records, place))
    for place in head.offsets.keys() & tail.offsets.keys():
        assert head.offsets[place] <= tail.offsets[place]


@given(batch=batches(), data=st.data())
def test_any_number_of_cuts_end_at_the_batch(batch: Batch, data: st.DataObject) -> None:
    """Halved until each record stands alone, as a record too large makes it happen, the sum is still the batch."""
    parts, rest, committed = [], batch, {}
    while len(rest.records) > 1:
        part, rest = rest.cut(data.draw(st.integers(1, len(rest.records) - 1)))
        parts.append(part)
    parts.append(rest)
    for part in parts:
        committed.update(part.offsets)
    assert [r for part in parts for r in part.records] == list(batch.records)
    assert committed == batch.offsets


@given(batch=batches(), data=st.data())
def test_halves_keep_what_proves_the_partitions(batch: Batch, data: st.DataObject) -> None:
    """Epoch, fence, time of the poll and topic ids belong to both halves."""
    for half in batch.cut(data.draw(st.integers(0, len(batch.records)))):
        assert (half.epoch, half.fence, half.topic_ids) == (3, "group", {"a": "id"})


@given(batch=batches(), data=st.data())
def test_an_outcome_is_cut_with_its_outputs(batch: Batch, data: st.DataObject) -> None:
    """Each record keeps its own outputs on its side of the cut, none or several."""
    outputs = tuple((Output(str(n), b""),) * (n % 3) for n in range(len(batch.records)))
    index = data.draw(st.integers(0, len(batch.records)))
    head, tail = Outcome(batch, outputs).cut(index)
    assert (head.batch, tail.batch) == batch.cut(index)
    assert (head.outputs, tail.outputs) == (outputs[:index], outputs[index:])


def test_a_record_prints_as_its_coordinates() -> None:
    """Never its text."""
    assert str(Record("comments", 3, 42, None, b"key", b"secret text")) == "comments[3]@42"
