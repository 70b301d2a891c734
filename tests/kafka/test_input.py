"""How what was polled is cut into batches."""

from __future__ import annotations

import pytest

from worker.kafka.input import batch_of_bytes
from worker.types import Batch, Header, Partition, Record


def _batch(*records: Record) -> Batch:
    return Batch(records, {Partition("in", 0): len(records)})


def _record(offset: int, value: bytes | None, key: bytes | None = None, headers: tuple[Header, ...] = ()) -> Record:
    return Record("in", 0, offset, None, key, value, headers)


@pytest.mark.parametrize(
    "record",
    [
        _record(1, b"x" * 60),
        _record(1, None, key=b"x" * 60),
        _record(1, b"", headers=(Header("name", b"x" * 28), Header("n" * 28, None))),
    ],
    ids=["value", "key", "headers"],
)
def test_all_that_a_record_brings_counts(record: Record) -> None:
    """Small values with large keys or headers are held in memory as large values are: the batch ends before them."""
    assert record.size == 60
    first, rest = batch_of_bytes(_batch(_record(0, b"x" * 50), record), 100)
    assert [r.offset for r in first.records] == [0]
    assert rest is not None
    assert batch_of_bytes(_batch(_record(0, b"x" * 40), record), 100)[1] is None


def test_a_record_over_the_limit_goes_alone() -> None:
    """It has to go some time."""
    first, rest = batch_of_bytes(_batch(_record(0, b"x" * 500), _record(1, b"")), 100)
    assert len(first.records) == 1
    assert rest is not None
