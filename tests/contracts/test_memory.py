"""The in-memory parts keep the contracts, so that tests built on them mean something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.contracts.cases import DeliveryContract, SourceContract
from tests.memory import MemoryDelivery, MemoryLog, MemorySource
from worker.types import Batch, Outcome, Output


class MemoryWorld:
    """A `cases.World` of one log."""

    atomic = True

    def __init__(self) -> None:
        self.log = MemoryLog(partitions=2)

    def write(self, values: Sequence[bytes], partition: int = 0) -> None:
        for value in values:
            self.log.write(value, partition)

    def source(self) -> MemorySource:
        return MemorySource(self.log, bounded=False)

    def delivery(self) -> MemoryDelivery:
        delivery = MemoryDelivery(self.log, max_bytes={"out": 1_000_000})
        delivery.recover()
        return delivery

    def outputs(self) -> list[bytes | None]:
        return [output.value for output in self.log.outputs["out"]]

    def committed(self) -> dict[int, int | None]:
        return {p.partition: self.log.committed.get(p) for p in self.log.inputs}

    def answer(self, batch: Batch) -> Outcome:
        return Outcome(batch, tuple((Output("out", record.value),) for record in batch.records))

    def output(self, value: bytes, partition: int = 0) -> Output:
        return Output("out", value, partition=partition)


class TestMemorySource(SourceContract):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()


class TestMemoryDelivery(DeliveryContract):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()

    def former(self, fence: Any) -> Any:
        return fence - 1
