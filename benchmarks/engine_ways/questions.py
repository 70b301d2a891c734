"""What is asked of a process that measures, and what it answers; JSON lines both."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

Measure = Literal["way", "size", "length", "budget", "overlap", "beside"]


class Setup(BaseModel):
    """One way, on models that have been written, with texts of `folder` or made-up ones. `threads` 0 is the quota."""

    model_config = ConfigDict(frozen=True)

    way: str
    models: Path
    device: str
    folder: Path | None
    texts: int
    threads: int = 0


class Question(BaseModel):
    """`count` texts by the way itself, or by the engine in batches of `value` texts, of `value` tokens a text, under a
    budget of `value` tokens, with tokenising beside it, or with all other stages beside it.
    """

    model_config = ConfigDict(frozen=True)

    measure: Measure
    count: int
    value: int = 0
    packed: bool = True


class Figure(BaseModel):
    """`flops` are those that the texts are worth, whatever was computed; `limit_flops_per_s` was measured beside it."""

    model_config = ConfigDict(frozen=True)

    seconds: float
    texts: int
    tokens: int
    flops: float
    limit_flops_per_s: float
    beside_s: float = 0.0  # the same with other work beside it

    @property
    def flops_per_s(self) -> float:
        return self.flops / self.seconds

    @property
    def share(self) -> float:
        """Of the machine's limit."""
        return self.flops_per_s / self.limit_flops_per_s


class Ready(BaseModel):
    """A process's first line: it waits for questions, or says in one line why it can't."""

    unavailable: str = ""
