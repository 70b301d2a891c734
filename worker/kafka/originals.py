"""Single records of a topic by their offsets, for what came long after them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from worker.errors import Stop
from worker.kafka.failures import explained
from worker.kafka.reading import Reader
from worker.types import Partition, Record

# A fetch brings what lies behind a record as well: to read so many on costs less than to ask anew.
NEAR = 200

Absence = Literal["unknown_topic", "gone", "compacted", "beyond_end"]
Found = tuple[int, Record | Absence]


class Originals:
    """Looks records up. `readable` says of a topic's name whether anything in it may be looked at."""

    def __init__(self, *, reader: Reader, readable: Callable[[str], bool]) -> None:
        self._reader = reader
        self._readable = readable

    def find(self, partition: Partition, offsets: Sequence[int]) -> Iterator[Found]:
        """Each of the offsets, which ascend, with its record or why there is none; in any order. Raises `Stop`."""
        if not self._exists(partition):
            yield from ((offset, "unknown_topic") for offset in offsets)
            return
        first, end = self._span(partition)
        yield from ((offset, "gone") for offset in offsets if offset < first)
        yield from ((offset, "beyond_end") for offset in offsets if offset >= end)
        for run in runs([offset for offset in offsets if first <= offset < end]):
            yield from self._read(partition, run)

    def _read(self, partition: Partition, run: Sequence[int]) -> Iterator[Found]:
        """One seek. Where retention was faster, what is left is looked for once more."""
        wanted = set(run)
        try:
            for piece in self._reader.read({partition: run[0]}, {partition: run[-1] + 1}):
                for record in piece:
                    if record.offset in wanted:
                        wanted.remove(record.offset)
                        yield record.offset, record
        except Stop:
            if self._span(partition)[0] <= min(wanted, default=run[0]):
                raise
            yield from self.find(partition, sorted(wanted))
            return
        yield from ((offset, "compacted") for offset in sorted(wanted))

    def _exists(self, partition: Partition) -> bool:
        if not self._readable(partition.topic):
            return False
        with explained():
            return partition.partition in (self._reader.consumer.partitions_for_topic(partition.topic) or ())

    def _span(self, partition: Partition) -> tuple[int, int]:
        return self._reader.spans([partition])[partition]


def runs(offsets: Sequence[int]) -> Iterator[list[int]]:
    """Ascending offsets parted where there is more than `NEAR` between two of them."""
    run: list[int] = []
    for offset in offsets:
        if run and offset - run[-1] > NEAR:
            yield run
            run = []
        run.append(offset)
    if run:
        yield run
