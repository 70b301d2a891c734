"""What happens to clusters: an id is given once, and its end is an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["born", "split", "merged", "drifted", "retired", "renamed"]


@dataclass(frozen=True, slots=True)
class Event:
    """Of one table version. An id among `parents` that is not among `children` has ended; one among `children` alone
    has begun: it is larger than all ids before it.

    `count` is how many recent samples it is about, `at_ms` the samples' own time; `reason` is a few words for people.
    """

    kind: Kind
    parents: tuple[int, ...]
    children: tuple[int, ...]
    at_ms: int
    count: int
    reason: str
