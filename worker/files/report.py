"""What a person sees while a file is tagged, on stderr: a bar on a terminal, else a line now and then; and the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from worker.files.delivery import Rejected

LINE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Totals:
    """What became of all records."""

    records: int
    labels: Mapping[str, int]
    dead_letters: Mapping[str, int]
    dropped: int
    seconds: float


class Report:
    """A context manager; `through` and `reject` are called from the deliver thread.

    `position` gives the bytes read so far of `size`, None where the end is not known. `bar` asks for a progress bar.
    """

    def __init__(self, *, stream: TextIO, bar: bool, position: Callable[[], int], size: int | None) -> None:
        self._console = Console(file=stream, highlight=False)
        self._progress = _progress(self._console) if bar else None
        self._task = self._progress.add_task("", total=size, records=0) if self._progress else None
        self._position = position
        self._size = size
        self._records = 0
        self._said_at = self._began = time.monotonic()

    def __enter__(self) -> Report:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()

    def through(self, records: int) -> None:
        """So many more records have got their outcome."""
        self._records += records
        now = time.monotonic()
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=self._position(), records=self._records)
        elif now - self._said_at >= LINE_EVERY_S:
            self._said_at = now
            self._say(f"{self._records:,} records, {self._records / (now - self._began):,.0f} a second{self._share()}")

    def reject(self, letter: Rejected) -> None:
        self._say(str(letter))

    def end(self, totals: Totals) -> None:
        for line in summary(totals):
            self._say(line)

    def _share(self) -> str:
        return f", {self._position() / self._size:.0%} of the file read" if self._size else ""

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def summary(totals: Totals) -> list[str]:
    """A few lines: records and speed, labels, dead letters by reason."""
    rate = totals.records / totals.seconds if totals.seconds else 0.0
    lines = [f"{totals.records:,} records in {totals.seconds:.1f} s, {rate:,.0f} texts/s"]
    if totals.labels:
        lines.append(f"labels: {_counts(totals.labels)}")
    dead = sum(totals.dead_letters.values())
    lines.append(f"dead letters: {dead:,}" + (f" ({_counts(totals.dead_letters)})" if dead else ""))
    if totals.dropped:
        lines.append(f"left out, as the settings say: {totals.dropped:,}")
    return lines


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count:,}" for name, count in ordered)


def _progress(console: Console) -> Progress:
    return Progress(
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[records]:,} records"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
