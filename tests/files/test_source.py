"""Batches from a stream: order, numbers, bounds, and no waiting for what has not come yet."""

from __future__ import annotations

import io
import os

from hypothesis import given
from hypothesis import strategies as st

from worker.files.source import CHUNK_BYTES, FileSource
from worker.types import Batch, Partition


def source_of(
    content: bytes, *, format: str = "text", max_record_bytes: int = 100, max_batch_bytes: int = 10_000
) -> FileSource:
    return source_on(io.BufferedReader(io.BytesIO(content)), format, max_record_bytes, max_batch_bytes)


def source_on(
    stream: io.BufferedReader, format: str = "text", max_record_bytes: int = 100, max_batch_bytes: int = 10_000
) -> FileSource:
    return FileSource(
        stream=stream,
        name="in.txt",
        format=format,
        max_record_bytes=max_record_bytes,
        max_batch_bytes=max_batch_bytes,
    )


def drain(source: FileSource, max_records: int = 10) -> list[Batch]:
    batches = []
    while not source.exhausted:
        batch = source.poll(0.0, max_records)
        if batch is not None:
            batches.append(batch)
    return batches


def test_batches_are_spans_of_one_partition() -> None:
    """A record's offset is its number, and a batch says the next one."""
    first, second = drain(source_of(b"a\nb\nc"), max_records=2)
    assert [(r.offset, r.value) for r in first.records] == [(0, b"a"), (1, b"b")]
    assert [(r.offset, r.value) for r in second.records] == [(2, b"c")]
    assert (first.offsets, second.offsets) == ({Partition("in.txt", 0): 2}, {Partition("in.txt", 0): 3})


def test_an_empty_file_has_no_batch() -> None:
    """Nothing in, nothing out, and an end."""
    assert drain(source_of(b"")) == []


def test_batches_are_bounded_in_bytes() -> None:
    """A batch ends with the record that fills it."""
    batches = drain(source_of(b"12345\n" * 4, max_batch_bytes=10))
    assert [len(batch.records) for batch in batches] == [2, 2]


def test_a_long_line_is_cut_and_refused_by_size() -> None:
    """Of a line that is too long only a little more than allowed is kept, and the next line is whole."""
    values = [r.value for b in drain(source_of(b"x" * 3 * CHUNK_BYTES + b"\nshort\n")) for r in b.records]
    assert [len(v or b"") for v in values] == [103, 5]


def test_a_line_as_long_as_allowed_is_whole() -> None:
    """The bound does not count the line's end."""
    values = [r.value for b in drain(source_of(b"x" * 100 + b"\r\n")) for r in b.records]
    assert values == [b"x" * 100]


def test_a_pause_of_a_pipe_ends_the_batch() -> None:
    """What has come is handed out although more is expected, blank lines between records notwithstanding."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)  # reading on would find the end, rather than hang the test
    with open(reading, "rb") as stream, open(writing, "wb", buffering=0) as pipe:
        source = source_on(stream, format="json")
        pipe.write(b'{"text":"a"}\n{"text":"b"}\n\n')
        batch = source.poll(0.0, 10)
        assert batch is not None
        assert len(batch.records) == 2
        assert not source.exhausted


def test_suspending_makes_batches_stale_and_ends() -> None:
    """After a drain that took too long nothing more is handed out."""
    source = source_of(b"a\nb\n")
    batch = source.poll(0.0, 1)
    source.suspend()
    assert batch is not None
    assert batch.epoch != source.epoch
    assert source.exhausted
    assert source.poll(0.0, 1) is None


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=20)), st.integers(1, 7))
def test_nothing_is_lost_or_reordered(texts: list[str], size: int) -> None:
    """All records of all batches are the file's lines."""
    content = "".join(text + "\n" for text in texts).encode()
    records = [record for batch in drain(source_of(content), size) for record in batch.records]
    assert [record.value for record in records] == [text.encode() for text in texts]
    assert [record.offset for record in records] == list(range(len(texts)))
