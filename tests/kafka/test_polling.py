"""What one poll gives, and that nothing of it is lost where damage follows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import CorruptRecordError, KafkaTimeoutError

from worker.kafka.polling import gather

ERROR = CorruptRecordError("failed crc check")


class Consumer:
    """Answers one poll after another; what it has announced is for the next one to raise."""

    def __init__(self, *answers: Any, announced: Exception | None = None) -> None:
        self._answers = list(answers)
        self._coordinator = SimpleNamespace(rejoining=False)
        found = SimpleNamespace(exception=announced) if announced else None
        self._fetcher = SimpleNamespace(_next_in_line_exception_metadata=found)
        self.asked: list[int] = []

    def poll(self, timeout_ms: int, max_records: int) -> dict[str, list[int]]:
        self.asked.append(max_records)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


def test_a_batch_grows_while_it_lingers() -> None:
    """Until it is full; the order of each partition is kept."""
    consumer = Consumer({"a": [1, 2]}, {"a": [3], "b": [1]}, {"b": [2]})
    assert gather(consumer, 0.1, 5, linger_s=60.0) == ({"a": [1, 2, 3], "b": [1, 2]}, None)
    assert consumer.asked == [5, 3, 1]


@pytest.mark.parametrize(("answer", "linger_s"), [({"a": [1]}, 0.0), ({}, 60.0)], ids=["no-linger", "nothing"])
def test_one_poll_is_enough(answer: Any, linger_s: float) -> None:
    """Without linger, and where nothing came, nobody waits for more."""
    assert gather(Consumer(answer), 0.1, 5, linger_s) == (answer, None)


@pytest.mark.parametrize(
    ("consumer", "polled"),
    [
        pytest.param(Consumer(ERROR), {}, id="at-once"),
        pytest.param(Consumer({"a": [1]}, {"b": [2]}, ERROR), {"a": [1], "b": [2]}, id="while-it-lingers"),
        pytest.param(
            Consumer({"a": [1], "b": [2, 3, 4, 5]}, announced=ERROR), {"a": [1], "b": [2, 3, 4, 5]}, id="announced"
        ),
    ],
)
def test_what_came_before_damage_is_kept(consumer: Consumer, polled: Any) -> None:
    """Dropped, it would be read again and meet the damage again, for ever."""
    assert gather(consumer, 0.1, 5, linger_s=60.0) == (polled, ERROR)


def test_other_errors_are_raised() -> None:
    """They pass, and what came before them is read again."""
    with pytest.raises(KafkaTimeoutError):
        gather(Consumer({"a": [1]}, KafkaTimeoutError("slow")), 0.1, 5, linger_s=60.0)
