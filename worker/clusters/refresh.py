"""The look back at a window of samples: split what holds two topics, pay for it with what has become one.

MiniBatchKMeans moves centres, and no more: a topic that is new stays inside a broad cluster, whose centre is right for
neither. A swap mends that, at the price of what ids mean, so it must be worth it twice: at two refreshes in a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from worker.clusters.draft import Draft
from worker.clusters.recipe import Recipe
from worker.clusters.spherical import Matrix, nearest, normalise
from worker.clusters.table import Table
from worker.clusters.worth import MIN_ROWS, Groups, costs, gains, halves

LLOYD_STEPS = 3
INERTIA = MIN_ROWS  # rows that a centre stands for in a Lloyd step, so that a handful does not carry it away
SWAPPED_SHARE = 0.25  # of all clusters in one refresh, at most
MIN_GAIN = 0.001  # a row: copies of one text are not two topics

Payer = tuple[int, ...]  # a pair that is merged, one that is retired, or none: there is room


@dataclass(frozen=True, slots=True)
class Judgement:
    """What splits would gain and payers cost, by ids."""

    gains: Mapping[int, float] = field(default_factory=dict)
    costs: Mapping[Payer, float] = field(default_factory=dict)

    def worth(self, split: int, payer: Payer, ratio: float) -> bool:
        if split not in self.gains or payer not in self.costs:
            return False
        return self.gains[split] > ratio * self.costs[payer]


def refresh(
    table: Table, window: Matrix, recipe: Recipe, before: Judgement | None, random: np.random.Generator
) -> tuple[Draft, Judgement]:
    """The table changed, and the judgement to confirm by at the next refresh. `before` None: confirmation is waived."""
    groups = groups_of(window, table.centres)
    judged = judge(table, window, groups, recipe, random)
    draft = Draft(table, recipe.count_cap)
    for split, payer in chosen(table, judged, before, recipe.swap_ratio):
        place = table.ids.index(split)
        rows = window[groups[place]]
        two = halves(rows, random)
        draft.split(place, freed(draft, table, payer), two, np.bincount(nearest(rows, two), minlength=2).tolist())
    settle(draft, window)
    for place in range(len(draft.ids)):
        moved = float(draft.centres[place] @ draft.anchors[place]) < recipe.drift_cosine
        if moved and draft.ids[place] not in table.pinned:
            draft.drift(place)
    return draft, judged


def groups_of(rows: Matrix, centres: Matrix) -> Groups:
    """Rows of each centre."""
    labels = nearest(rows, centres)
    return np.split(np.argsort(labels, kind="stable"), np.bincount(labels, minlength=len(centres)).cumsum()[:-1])


def judge(table: Table, window: Matrix, groups: Groups, recipe: Recipe, random: np.random.Generator) -> Judgement:
    worth = gains(window, groups, random)
    prices: dict[Payer, float] = {(): 0.0} if len(table.ids) < recipe.k else {}
    for place in np.flatnonzero(table.at_ms - table.last_ms > recipe.dormant_after_ms).tolist():
        prices[(table.ids[place],)] = 0.0
    for (one, other), cost in costs(window, groups, table.centres, random).items():
        prices[(table.ids[one], table.ids[other])] = max(cost, 0.0)
    prices = {payer: price for payer, price in prices.items() if not payer or set(payer) - table.pinned}
    gained = {table.ids[i]: gain for i, gain in worth.items() if gain > MIN_GAIN * len(groups[i])}
    gained = {one: gain for one, gain in gained.items() if one not in table.pinned}
    return Judgement(gained, prices)


def chosen(table: Table, judged: Judgement, before: Judgement | None, ratio: float) -> list[tuple[int, Payer]]:
    """Splits with what pays for them: the largest gain first, the smallest cost first, each cluster once."""
    swaps: list[tuple[int, Payer]] = []
    used: set[int] = set()
    payers = sorted(judged.costs, key=lambda payer: (judged.costs[payer], payer))
    for split in sorted(judged.gains, key=lambda one: (-judged.gains[one], one)):
        if len(swaps) >= max(len(table.ids) * SWAPPED_SHARE, 1):
            break
        payer = next(
            (
                payer
                for payer in payers
                if not used & {split, *payer}
                and split not in payer
                and judged.worth(split, payer, ratio)
                and (before is None or before.worth(split, payer, ratio))
            ),
            None,
        )
        if payer is not None:
            swaps.append((split, payer))
            used |= {split, *payer}
            if not payer:
                payers.remove(())  # one at a time
    return swaps


def settle(draft: Draft, window: Matrix) -> None:
    """Some Lloyd steps on the window, for centres that have enough of it."""
    for _ in range(LLOYD_STEPS):
        for place, group in enumerate(groups_of(window, draft.centres)):
            if len(group) >= MIN_ROWS:
                total = window[group].sum(axis=0) + INERTIA * draft.centres[place]
                draft.centres[place] = normalise(total[None])[0]


def freed(draft: Draft, table: Table, payer: Payer) -> int | None:
    """The place that the payer leaves, if it is one."""
    places = [table.ids.index(one) for one in payer]
    if len(places) == 2:
        return draft.merge(places[0], places[1])
    return draft.retire(places[0]) if places else None
