"""Corrections to a labelled set: the feedback topic read to its end, the originals looked up, the later ones kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from schemas import Coordinates
from worker.errors import Skip
from worker.feedback.correction import read_correction
from worker.feedback.labelled import read_labelled, write_labelled
from worker.feedback.ledger import Ledger, ledger_beside
from worker.types import Decode, Message, Partition, Record

# Why there is no original: its topic is none that these settings read, or is not there; retention has taken it;
# compaction has (or its transaction was aborted); its offset has not been written; another message is there now.
Absence = Literal["unknown_topic", "gone", "compacted", "beyond_end", "another_message"]

# Each of the offsets, in any order, with its record or why there is none.
Find = Callable[[Partition, Sequence[int]], Iterator[tuple[int, Record | Absence]]]


@dataclass(slots=True)
class Collected:
    """Counts. `collected` texts are in the set now, `before` were in it already; `read` are records of the topic.

    `absent` are originals that are not there, `undecodable` ones that the worker could not read either, `unreadable`
    records that are no feedback; `first_unreadable` says where and why, never what it holds.
    """

    collected: int = 0
    before: int = 0
    read: int = 0
    superseded: int = 0
    absent: Counter[Absence] = field(default_factory=Counter)
    undecodable: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    first_unreadable: str | None = None


def collect(
    feedback: Iterable[Sequence[Record]], *, out: Path, find: Find, decode: Decode, max_bytes: int
) -> Collected:
    """Write `out`, whole or not at all; what it holds already is kept, so that retention takes nothing out of it.

    Texts are as they were sent, before any preparation: that is for the training. Memory does not grow with the
    number of corrections. Raises `SettingsError`, and what reading raises.
    """
    counts = Collected()
    with ledger_beside(out) as ledger:
        for correction in read_labelled(out):
            counts.before += ledger.put(correction) == "new"
        for records in feedback:
            for record in records:
                _note(record, ledger, counts, max_bytes)
        for partition in ledger.partitions():
            for wanted in ledger.wanted(partition):
                _look_up(partition, wanted, ledger, counts, find, decode)
        counts.collected = write_labelled(out, ledger.corrections())
    return counts


def _note(record: Record, ledger: Ledger, counts: Collected, max_bytes: int) -> None:
    counts.read += 1
    try:
        kept = ledger.put(read_correction(record, max_bytes))
    except Skip as skip:
        counts.unreadable[str(skip.reason)] += 1
        counts.first_unreadable = counts.first_unreadable or f"{record}: {skip.detail}"
        return
    counts.superseded += kept in ("superseding", "superseded")


def _look_up(
    partition: Partition, wanted: Sequence[Coordinates], ledger: Ledger, counts: Collected, find: Find, decode: Decode
) -> None:
    stamps = {coordinates.offset: _milliseconds(coordinates) for coordinates in wanted}
    for offset, found in find(partition, list(stamps)):
        if not isinstance(found, Record):
            counts.absent[found] += 1
        elif stamps[offset] not in (None, found.timestamp_ms):
            counts.absent["another_message"] += 1
        else:
            message = decode(found)
            if isinstance(message, Message):
                ledger.settle(partition, offset, message.text if message.original is None else message.original)
            else:
                counts.undecodable[str(message.reason)] += 1


def _milliseconds(coordinates: Coordinates) -> int | None:
    return None if coordinates.timestamp is None else round(coordinates.timestamp.timestamp() * 1000)
