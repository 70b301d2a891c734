"""Progress for people: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

# Where there is no terminal, a line for so large a share, but not more often than this.
LINE_SHARE = 0.125
LINE_S = 3.0


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
    began_s = last_s = time.monotonic()
    last = 0

    def show(done: int) -> None:
        nonlocal last, last_s
        now_s = time.monotonic()
        is_due = now_s - last_s >= LINE_S and done - last >= LINE_SHARE * total
        if is_due or (done >= total > last):
            last, last_s = done, now_s
            console.print(f"{what}: {done:,} of {total:,}, {now_s - began_s:.0f} s")

    return show
