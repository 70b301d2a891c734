"""The Kafka parts keep the contracts that the in-memory parts keep."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.contracts.cases import DeliveryContract, SourceContract
from tests.kafka import parts
from tests.kafka.conftest import TopicFactory
from worker.kafka.source import KafkaSource
from worker.types import Batch, Delivery, Outcome, Output


class KafkaWorld:
    """A `cases.World` on a broker; one source at most, whose group the flushing delivery commits through."""

    def __init__(
        self, bootstrap: str, topics: TopicFactory, group: str, stack: contextlib.ExitStack, mode: str
    ) -> None:
        self.atomic = mode == "transactional"
        self._bootstrap, self._group, self._stack = bootstrap, group, stack
        self._input, self._output = topics("in", partitions=2), topics("out", partitions=1)
        self._source: KafkaSource | None = None

    def write(self, values: Sequence[bytes], partition: int = 0) -> None:
        parts.produce(self._bootstrap, self._input, values, partition=partition)

    def source(self) -> KafkaSource:
        self._source = self._stack.enter_context(parts.opened_source(self._bootstrap, self._input, self._group))
        return self._source

    def delivery(self) -> Delivery:
        source = self._source
        delivery: Any = (
            parts.transactional(self._bootstrap, [self._output], self._group)
            if self.atomic
            else parts.flushing(self._bootstrap, [self._output], source.commit if source else lambda batch: None)
        )
        self._stack.enter_context(parts.ready(delivery))
        return delivery

    def outputs(self) -> list[bytes | None]:
        return parts.values(self._bootstrap, self._output)

    def committed(self) -> dict[int, int | None]:
        return parts.committed(self._bootstrap, self._group, self._input, 2)

    def answer(self, batch: Batch) -> Outcome:
        return parts.answering(batch, self._output)

    def output(self, value: bytes, partition: int = 0) -> Output:
        return Output(self._output, value, partition=partition)


@pytest.fixture
def make_world(
    kafka: str, topic_factory: TopicFactory, unique: Callable[[str], str]
) -> Iterator[Callable[[str], KafkaWorld]]:
    with contextlib.ExitStack() as stack:
        yield lambda mode: KafkaWorld(kafka, topic_factory, unique("group"), stack, mode)


class TestKafkaSource(SourceContract):
    @pytest.fixture
    def world(self, make_world: Callable[[str], KafkaWorld]) -> KafkaWorld:
        return make_world("transactional")


class _KafkaDelivery(DeliveryContract):
    def former(self, fence: Any) -> Any:
        return fence._replace(generation_id=fence.generation_id - 1)


class TestTransactionalDelivery(_KafkaDelivery):
    @pytest.fixture
    def world(self, make_world: Callable[[str], KafkaWorld]) -> KafkaWorld:
        return make_world("transactional")


class TestFlushingDelivery(_KafkaDelivery):
    @pytest.fixture
    def world(self, make_world: Callable[[str], KafkaWorld]) -> KafkaWorld:
        return make_world("flushing")
