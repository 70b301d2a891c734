"""The first table, made better until it does not get better: later it would cost ids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from worker.clusters.draft import Draft
from worker.clusters.recipe import Recipe
from worker.clusters.refresh import chosen, freed, groups_of, judge
from worker.clusters.spherical import Matrix, lloyd, nearest
from worker.clusters.table import Table
from worker.clusters.worth import halves

ROUNDS = 10
RATIO = 1.5  # nothing depends on the ids yet
LLOYD_STEPS = 3


def polished(table: Table, rows: Matrix, recipe: Recipe, random: np.random.Generator) -> Table:
    """Swaps without confirmation, until there is none; the ids count from 1."""
    for _ in range(ROUNDS):
        groups = groups_of(rows, table.centres)
        swaps = chosen(table, judge(table, rows, groups, recipe, random), None, RATIO)
        if not swaps:
            break
        draft = Draft(table, recipe.count_cap)
        for split, payer in swaps:
            place = table.ids.index(split)
            two = halves(rows[groups[place]], random)
            free = freed(draft, table, payer)
            draft.split(place, free, two, [1, 1])
        table = draft.done()
        table = _counted(table, _settled(rows, table.centres, LLOYD_STEPS), rows, recipe)
    return _counted(table, _settled(rows, table.centres, LLOYD_STEPS), rows, recipe)


def _settled(rows: Matrix, centres: Matrix, steps: int) -> Matrix:
    for _ in range(steps):
        centres = lloyd(rows, centres)
    return centres


def _counted(table: Table, centres: Matrix, rows: Matrix, recipe: Recipe) -> Table:
    """As if it had begun with these centres; those without rows are left out."""
    counts = np.bincount(nearest(rows, centres), minlength=len(centres))
    centres, counts = centres[counts > 0], counts[counts > 0]
    return replace(
        table,
        ids=tuple(range(1, len(centres) + 1)),
        centres=centres,
        anchors=centres,
        counts=np.minimum(counts, recipe.count_cap),
        seen=counts,
        last_ms=np.full(len(centres), table.at_ms),
        next_id=len(centres) + 1,
    )
