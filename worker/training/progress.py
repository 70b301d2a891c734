"""How a training tells what it is doing: lines and figures, never a text of the data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """A stretch of work: so many `steps` more are done, and what there is to say of them, such as a loss."""

    def __call__(self, steps: int, /, note: str = "") -> None: ...


class Progress(Protocol):
    """Called by the thread that trains."""

    def say(self, line: str) -> None:
        """One line for people."""

    def task(self, what: str, steps: int) -> AbstractContextManager[Task]:
        """A stretch of work of so many steps."""


class Silence:
    """For callers who want to hear nothing."""

    def say(self, line: str) -> None: ...

    @contextmanager
    def task(self, what: str, steps: int) -> Iterator[Task]:
        def nothing(steps: int, note: str = "") -> None: ...

        yield nothing
