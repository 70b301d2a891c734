"""What a benchmark has to reach, and how it is told to people and to programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """One row: a measured value and the goal in words; nothing that was not measured holds."""

    name: str
    value: float | None
    goal: str
    holds: bool


def at_least(name: str, value: float | None, bound: float) -> Target:
    return Target(name, _rounded(value), f">= {bound:g}", value is not None and value >= bound)


def at_most(name: str, value: float | None, bound: float) -> Target:
    return Target(name, _rounded(value), f"<= {bound:g}", value is not None and value <= bound)


def as_objects(targets: Sequence[Target]) -> list[dict[str, Any]]:
    return [asdict(target) for target in targets]


def table(targets: Sequence[Target]) -> list[str]:
    """Lines for people."""
    rows = [
        (t.name, "not measured" if t.value is None else f"{t.value:g}", t.goal, "yes" if t.holds else "NO")
        for t in targets
    ]
    return columns([("target", "value", "goal", "holds"), *rows])


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as aligned lines: the first column to the left, the others to the right."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]


def _rounded(value: float | None) -> float | None:
    """Four digits: more would claim a precision that no run has."""
    return None if value is None else float(f"{value:.4g}")
