"""What a cluster table is made by: the learner's numbers, as one value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """The learner's parameters. `table` is the table's name; a warm-up shorter than `k` is raised to `k`."""

    table: str = "default"
    k: int = 32
    warmup: int = 2000
    unassigned_quantile: float = 0.05
    seed: int = 0
