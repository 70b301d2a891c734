"""What `tagstream train` shows: a bar on a terminal, else plain lines; at the end what came of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from worker.training.finish import Trained
    from worker.training.progress import Task

LINES = 10  # of a stretch of work, where there is no bar


class Terminal:
    """`training.progress.Progress` on stderr, so that stdout holds the result alone."""

    def say(self, line: str) -> None:
        click.echo(line, err=True)

    @contextmanager
    def task(self, what: str, steps: int) -> Iterator[Task]:
        from rich.console import Console

        console = Console(file=sys.stderr)
        with _bar(console, what, steps) if console.is_terminal else self._lines(what, steps) as advance:
            yield advance

    @contextmanager
    def _lines(self, what: str, steps: int) -> Iterator[Task]:
        done, said, last = 0, 0, ""

        def advance(more: int, note: str = "") -> None:
            nonlocal done, said, last
            done, last = done + more, note or last
            if done * LINES // max(steps, 1) > said:
                said = done * LINES // max(steps, 1)
                self.say(f"{what}: {done:,} of {steps:,}{last and f', {last}'}")

        yield advance


def summary(trained: Trained) -> str:
    """A few lines: where it is, how good it is, what to do next."""
    from worker.evaluation.wording import shortfalls, span, threshold_line

    lines = shortfalls(trained.thresholds)
    if trained.evaluation is not None and trained.evaluation.against is not None:
        lines.append(trained.evaluation.verdict)
    lines.append(f"{trained.out}: {trained.manifest['kind']}, {_made(trained)}, revision {trained.revision}")
    if trained.evaluation is None:
        lines.append("there is no test part: nothing is known of its quality")
    else:
        figures = trained.evaluation.quality.figures
        texts = f"{trained.evaluation.facts.texts['judged']:,} test texts"
        lines.append(f"accuracy {span(figures['accuracy'])}, macro-F1 {span(figures['macro_f1'])} on {texts}")
        lines.append(f"calibration error {span(trained.evaluation.after.ece)}")
    if trained.no_baseline:
        lines.append(f"no baseline was fitted beside it: {trained.no_baseline}")
    if trained.unread:
        lines.append(f"the base could not read {trained.unread:,} texts")
    lines += [threshold_line(threshold) for threshold in trained.thresholds]
    lines += _compared(trained)
    if (Path(trained.out) / "trials.jsonl").exists():
        lines.append(f"what was tried: trials.jsonl and trials.svg in {trained.out}")
    lines.append(f"next: tagstream evaluate DATA --model {trained.out}; tagstream run --set model.path={trained.out}")
    return "\n".join(lines) + "\n"


def _made(trained: Trained) -> str:
    """The way of training, as one would ask for it."""
    tune, features = trained.manifest["tune"], trained.manifest["features"]
    return f"{tune} on {features}" if tune == "head" else str(tune)


def _compared(trained: Trained) -> Iterator[str]:
    """The table of recipes, in columns."""
    if not trained.compared:
        return
    from worker.training.compared import TITLES, notes, table

    rows = [TITLES, *table(trained.compared)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield "recipes on the validation part:"
    for first, *others in rows:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield " ".join([first.ljust(widths[0]), *cells])
    yield from notes(trained.compared)


@contextmanager
def _bar(console: object, what: str, steps: int) -> Iterator[Task]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    assert isinstance(console, Console)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console, transient=True) as progress:
        bar = progress.add_task(what, total=steps, note="")

        def advance(more: int, note: str = "") -> None:
            progress.advance(bar, more)
            if note:
                progress.update(bar, note=note)

        yield advance
