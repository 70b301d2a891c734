"""All corrections by their message, the latest of each: on disk, as there may be more of them than memory.

The file lies in a directory of its own that nobody else may read, and is gone with the block.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from schemas import Coordinates
from worker.errors import SettingsError
from worker.feedback.correction import Correction
from worker.types import Partition

CHUNK = 1000  # offsets held at a time

# `at` is text that sorts as time does, empty where there is none.
_TABLE = """
create table corrections (
    identity blob primary key, at text not null, labels text not null, said text not null, note text,
    topic text, partition integer, place integer, stamp text, body text
) without rowid;
create index in_place on corrections (topic, partition, place);
create index in_time on corrections (at, identity);
"""
_PUT = "insert or replace into corrections values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_HELD = "select at, labels, said, note, topic, partition, place, stamp, body from corrections"
_PLACES = "topic = ? and partition = ? and body is null"

Kept = Literal["new", "known", "superseding", "superseded"]


class Ledger:
    """Corrections by message. One thread."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def put(self, correction: Correction) -> Kept:
        """Keep it unless a later one of the same message is there; of equal times the one put last wins.

        A text that is known already stays known, whoever names the message by its coordinates alone.
        """
        key = correction.identity
        row = self._database.execute(f"{_HELD} where identity = ?", (key,)).fetchone()
        held = None if row is None else _correction(row)
        if held is None:
            self._store(key, correction, correction.text)
            return "new"
        text = held.text if correction.text is None else correction.text
        if (held.labels, held.by, held.at, held.text) == (correction.labels, correction.by, correction.at, text):
            return "known"
        if _sortable(correction.at) < _sortable(held.at):
            return "superseded"
        self._store(key, correction, text)
        return "superseding"

    def partitions(self) -> list[Partition]:
        """Those that hold a text which is still to be found."""
        found = "select distinct topic, partition from corrections where body is null order by topic, partition"
        return [Partition(*row) for row in self._database.execute(found)]

    def wanted(self, partition: Partition) -> Iterator[list[Coordinates]]:
        """The messages of a partition whose texts are to be found, by offset, so many at a time."""
        last = -1
        query = f"select place, stamp from corrections where {_PLACES} and place > ? order by place limit {CHUNK}"
        while rows := self._database.execute(query, (*partition, last)).fetchall():
            yield [_coordinates(*partition, *row) for row in rows]
            last = rows[-1][0]

    def settle(self, partition: Partition, offset: int, text: str) -> None:
        """The text of a message, found."""
        self._database.execute(
            f"update corrections set body = ? where {_PLACES} and place = ?", (text, *partition, offset)
        )

    def corrections(self) -> Iterator[Correction]:
        """Those whose text is known, the latest last."""
        rows = self._database.execute(f"{_HELD} where body is not null order by at, identity")
        return map(_correction, rows)

    def _store(self, key: bytes, correction: Correction, text: str | None) -> None:
        source = correction.source
        where = (None,) * 4
        if source is not None:
            stamp = source.timestamp.isoformat() if source.timestamp else None
            where = (source.topic, source.partition, source.offset, stamp)  # type: ignore[assignment]
        said = (_sortable(correction.at), json.dumps(correction.labels), correction.by, correction.note)
        self._database.execute(_PUT, (key, *said, *where, text))


@contextlib.contextmanager
def ledger_beside(out: Path) -> Iterator[Ledger]:
    """An empty ledger on the disk of `out`. Raises `SettingsError` where it cannot be made, or the disk is full."""
    try:
        with (
            tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as place,
            contextlib.closing(sqlite3.connect(Path(place) / "ledger", isolation_level=None)) as database,
        ):
            # It is never read again: nothing has to survive a crash, and all is one transaction.
            database.executescript(f"pragma journal_mode = off; pragma synchronous = off; {_TABLE} begin;")
            yield Ledger(database)
    except OSError as error:
        raise SettingsError(f"cannot write {out}: {error.strerror}; choose another --out") from None
    except sqlite3.OperationalError as error:
        raise SettingsError(f"cannot write beside {out}: {error}; choose another --out") from None


def _sortable(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(timespec="microseconds")


def _correction(row: Sequence[Any]) -> Correction:
    at, labels, said, note, topic, partition, place, stamp, body = row
    return Correction(
        source=None if topic is None else _coordinates(topic, partition, place, stamp),
        text=body,
        labels=tuple(json.loads(labels)),
        by=said,
        at=datetime.fromisoformat(at) if at else None,
        note=note,
    )


def _coordinates(topic: str, partition: int, place: int, stamp: str | None) -> Coordinates:
    timestamp = datetime.fromisoformat(stamp) if stamp else None
    return Coordinates(topic=topic, partition=partition, offset=place, timestamp=timestamp)
