"""The learner's own process, and how it is asked. Imports little at the top: the rest is for the child alone."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

from worker.child import Answer, Child
from worker.frames import Frame

if TYPE_CHECKING:
    from worker.clusters.lineage import Event
    from worker.clusters.orders import Order
    from worker.clusters.recipe import Recipe
    from worker.clusters.samples import Samples
    from worker.clusters.table import Table

NICENESS = 5  # the forward pass goes first
UNCHANGED = Frame({})


class Learned(NamedTuple):
    """A new version, and what has happened to ids since the last one."""

    table: Table
    events: list[Event]


class LearnerProcess:
    """`learner.Learner` in a process of its own, from `table` on. Every verb raises `Lost` where it is gone."""

    def __init__(self, recipe: Recipe, table: Table | None = None) -> None:
        begun = table.to_frame() if table else None
        header = {"recipe": asdict(recipe), "table": begun.header if begun else None}
        self._child = Child(learning, Frame(header, begun.arrays if begun else ()), name="cluster-learner")

    @property
    def alive(self) -> bool:
        return self._child.alive

    def recall(self, samples: Samples) -> None:
        """See `Learner.recall`."""
        self._child.ask(samples.to_frame(recall=True))

    def learn(self, samples: Samples) -> Learned | None:
        """The newest version, if there is a new one."""
        return self._learned(samples.to_frame())

    def obey(self, order: Order, position: int) -> Learned | None:
        """See `Learner.obey`; the newest version, if there is a new one."""
        return self._learned(Frame({"order": asdict(order), "position": position}))

    def _learned(self, request: Frame) -> Learned | None:
        from worker.clusters.lineage import Event
        from worker.clusters.table import Table

        reply = self._child.ask(request)
        if not reply.header:
            return None
        events = [Event(**event) for event in reply.header["events"]]
        return Learned(Table.from_frame(Frame(reply.header["table"], reply.arrays)), events)

    def close(self) -> None:
        """It holds nothing that would have to be saved."""
        self._child.close()


def learning(begin: Frame) -> Answer:
    """Learns from samples and obeys orders; answers with the new table and events, or `UNCHANGED`."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from worker.clusters.learner import Learner
    from worker.clusters.orders import Order
    from worker.clusters.recipe import Recipe
    from worker.clusters.samples import Samples
    from worker.clusters.table import Table

    os.nice(NICENESS)
    threadpool_limits(limits=1)  # the cores belong to the forward pass
    table = Table.from_frame(Frame(begin.header["table"], begin.arrays)) if begin.header["table"] else None
    learner = Learner(Recipe(**begin.header["recipe"]), table)

    def answer(request: Frame) -> Frame:
        before = learner.table.version
        if order := request.header.get("order"):
            learner.obey(Order(order["kind"], tuple(order["ids"]), order["name"]), request.header["position"])
        elif request.header["recall"]:
            learner.recall(Samples.from_frame(request))
        else:
            learner.learn(Samples.from_frame(request))
        if learner.table.version == before:
            return UNCHANGED
        header, arrays = learner.table.to_frame()
        return Frame({"table": header, "events": [asdict(event) for event in learner.take_events()]}, arrays)

    return answer
