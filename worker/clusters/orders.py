"""What people order about clusters: a name, a pin, a merge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from worker.clusters.draft import Draft
from worker.clusters.lineage import Event
from worker.clusters.table import Table

BY_HAND = "by hand"
OrderKind = Literal["rename", "pin", "unpin", "merge"]


@dataclass(frozen=True, slots=True)
class Order:
    """Of one cluster, or two for `merge`: the first goes on for both, pinned. `name` None: from its words again."""

    kind: OrderKind
    ids: tuple[int, ...]
    name: str | None = None

    @property
    def is_whole(self) -> bool:
        return len(set(self.ids)) == len(self.ids) == (2 if self.kind == "merge" else 1)

    def fits(self, table: Table) -> bool:
        """Whether all that it is about is there."""
        return self.is_whole and set(self.ids) <= set(table.ids)


def carried_out(order: Order, table: Table, cap: int) -> Draft:
    """The table as it is ordered. The order must fit."""
    one = order.ids[0]
    match order.kind:
        case "pin":
            return Draft(replace(table, pinned=table.pinned | {one}), cap)
        case "unpin":
            return Draft(replace(table, pinned=table.pinned - {one}), cap)
        case "rename":
            return _renamed(table, one, order.name, cap)
        case "merge":
            draft = Draft(replace(table, pinned=table.pinned | {one}), cap)  # else it would be split again
            draft.remove(draft.absorb(table.ids.index(one), table.ids.index(order.ids[1]), BY_HAND))
            return draft


def _renamed(table: Table, one: int, name: str | None, cap: int) -> Draft:
    if name is None:
        names = {other: given for other, given in table.names.items() if other != one}
        return Draft(replace(table, named=table.named - {one}, names=names), cap)
    draft = Draft(replace(table, named=table.named | {one}, names={**table.names, one: name}), cap)
    if name != table.names.get(one):
        draft.events.append(Event("renamed", (one,), (one,), table.at_ms, 0, BY_HAND))
    return draft


def kept_names(table: Table) -> dict[int, str]:
    """Names that no word changes: given by a person, or pinned."""
    return {one: name for one, name in table.names.items() if one in table.named | table.pinned}
