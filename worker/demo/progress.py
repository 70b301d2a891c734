"""Progress for people: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LINES = 8  # of a whole run, where there is no terminal


@contextmanager
def progress(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Gives a function to call with how many of `total` are done."""
    if not console.is_terminal:
        yield _lines(console, what, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def _lines(console: Console, what: str, total: int) -> Callable[[int], None]:
    began_s, printed = time.monotonic(), 0

    def show(done: int) -> None:
        nonlocal printed
        if done * LINES // max(total, 1) > printed:
            printed = done * LINES // max(total, 1)
            console.print(f"{what}: {done:,} of {total:,}, {time.monotonic() - began_s:.0f} s", highlight=False)

    return show
