"""What is measured one by one, and the file that keeps it: a run that was interrupted goes on there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality_cells.sets import FEW, QUICK, SETS, Set
from worker.model.manifest import Features

BASELINES = "baselines"
HEADS: dict[str, Features] = {"head": "embedding", "head+characters": "embedding+characters"}
LAYERS: dict[str, int | None] = {"top:2": 2, "full": None}
# From the cheapest at run time to the dearest: `full` needs a pass of its own.
RECIPES = (*HEADS, *LAYERS)
SEEDS = 3

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """One training on one set, or all baselines. With `texts` so many training texts, drawn by the seed."""

    data: str
    what: str
    seed: int = 0
    texts: int | None = None

    def __str__(self) -> str:
        few = f", {self.texts} texts" if self.texts else ""
        return f"{self.data}, {self.what}{few}, seed {self.seed}"


def cells(sets: Sequence[Set], *, quick: bool, layers: bool) -> list[Cell]:
    """Those that say most for their time come first."""
    plain = [Cell(one.name, what) for one in sets for what in (BASELINES, *HEADS)]
    if quick:
        return plain
    scarce = [
        Cell(one.name, what, draw, count)
        for one in sets
        if one.goal
        for draw in range(SEEDS)
        for count in FEW
        for what in (BASELINES, *HEADS)
    ]
    tuned = [Cell(one.name, what) for one in sets if one.tuned for what in LAYERS] if layers else []
    again = [Cell(one.name, what, seed) for one in sets for what in HEADS for seed in range(1, SEEDS)]
    return [*plain, *scarce, *tuned, *again]


def chosen_sets(names: Sequence[str], *, quick: bool) -> list[Set]:
    wanted = names or (QUICK if quick else [one.name for one in SETS])
    return [one for one in SETS if one.name in wanted]


class Kept:
    """Results by cell in a file of JSON lines, each with the code and data that it was `made_from`; the last counts."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._found: dict[Cell, tuple[str, Result]] = {}
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            try:
                row = json.loads(line)
            except ValueError:  # a write that was interrupted
                continue
            self._found[Cell(**row["cell"])] = row["made_from"], row["result"]

    def get(self, cell: Cell, made_from: str) -> Result | None:
        """None where it has not been measured, or on other data or by other code."""
        known, result = self._found.get(cell, (None, None))
        return result if known == made_from else None

    def add(self, cell: Cell, made_from: str, result: Result) -> None:
        self._found[cell] = made_from, result
        row = {"cell": asdict(cell), "made_from": made_from, "result": result}
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def all(self) -> dict[Cell, Result]:
        """Whatever made them."""
        return {cell: result for cell, (_, result) in self._found.items()}
