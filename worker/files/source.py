"""Batches from a file or a pipe, in its order; satisfies `types.Source`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from io import BufferedReader

from worker.files.formats import SPLITS, FileFormat
from worker.types import Batch, Partition, Record

CHUNK_BYTES = 64 * 1024  # what a pipe holds
AT_END_S = 0.01  # the pipeline asks again until what is in flight is through


class FileSource:
    """One partition of a topic named after the file; a record's offset is its number in the file, from 0.

    Of a record longer than `max_record_bytes` only a byte more is kept, so that decoding refuses it. A pipe that pauses
    ends a batch. `position` is the bytes read so far. A file cannot be rewound: its delivery never asks for that.
    """

    def __init__(
        self, *, stream: BufferedReader, name: str, format: FileFormat, max_record_bytes: int, max_batch_bytes: int
    ) -> None:
        self._stream = stream
        self._name = name
        self._max_record_bytes = max_record_bytes
        self._max_batch_bytes = max_batch_bytes
        self._waits = not stream.seekable()
        self._drained = False  # what has been read is used up: the next line would have to be waited for
        self._values = SPLITS[format](self._lines(), max_record_bytes)
        self._next = 0
        self.position = 0
        self._epoch = 0
        self._ended = False

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def exhausted(self) -> bool:
        return self._ended

    def poll(self, timeout_s: float, max_records: int) -> Batch | None:
        """Blocks as long as the file does, where nothing has been read yet."""
        if self._ended:
            time.sleep(min(timeout_s, AT_END_S))
            return None
        records = tuple(self._take(max_records))
        if not records:
            return None
        partition = Partition(self._name, 0)
        return Batch(records, {partition: self._next}, self._epoch)

    def idle(self) -> None:
        """There is no membership to keep."""

    def suspend(self) -> None:
        self._epoch += 1
        self._ended = True

    def rewind(self, refused: Batch | None = None) -> None:
        raise AssertionError("a file's delivery either works or ends the run")

    def close(self) -> None:
        """Whoever opened the stream closes it."""

    def _take(self, count: int) -> Iterator[Record]:
        size = 0
        while count > 0 and size < self._max_batch_bytes:
            value = next(self._values, None)
            if value is None:
                self._ended = True
                return
            yield Record(self._name, 0, self._next, None, None, value)
            self._next += 1
            count, size = count - 1, size + len(value)
            if self._waits and self._drained:
                return

    def _lines(self) -> Iterator[bytes]:
        """Lines with their ends, each cut to what a record may have and a little more."""
        line, most = bytearray(), self._max_record_bytes + len(b"\r\n") + 1
        while chunk := self._stream.read1(CHUNK_BYTES):
            self.position += len(chunk)
            *ended, begun = chunk.split(b"\n")
            last = max((index for index, piece in enumerate(ended) if piece.strip()), default=-1)
            for index, piece in enumerate(ended):
                line += piece[: max(0, most - len(line))]
                self._drained = index >= last
                yield bytes(line) + b"\n"
                line.clear()
            line += begun[: max(0, most - len(line))]
        if line:
            yield bytes(line)
