"""How many tokens share a pass: set, computed, or searched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tests.model.stock import load, predict
from tests.model.tiny import POSITIONS, config_of, texts_of, write_classifier
from worker.model.budget import CARD_TOKENS, CPU_TOKENS, on_card, on_cpu, search, whole
from worker.model.memory import peak_bytes

EACH = 100  # bytes a token on the card below


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("models") / "bert", config_of("bert", num_labels=3))


class FakeCard:
    """Takes `EACH` bytes a token, and has an end."""

    def __init__(self, free: int, room: int | None = None) -> None:
        self._free = free
        self._room = free if room is None else room
        self.tried: list[int] = []

    def free_bytes(self) -> int:
        return self._free

    def peak_bytes(self, work: Callable[[], object]) -> int | None:
        work()
        taken = self.tried[-1] * EACH
        return taken if taken <= self._room else None


class FakeLane:
    """Tells the card how many tokens it was given."""

    def __init__(self, card: FakeCard, longest: int) -> None:
        self.longest = longest
        self._card = card

    def __call__(self, rows: list[object]) -> None:
        assert {len(row) for row in rows} == {self.longest}  # type: ignore[arg-type]
        self._card.tried.append(len(rows) * self.longest)


def _searched(card: FakeCard, longest: int = 512) -> int:
    return on_card([FakeLane(card, longest)], card, longest)  # type: ignore[list-item]


def test_a_search_takes_a_share_of_the_free_memory() -> None:
    """Each trial pass is of twice as many tokens, until one takes more than is left to take."""
    card = FakeCard(free=1_000_000)  # 8,000 tokens in the share
    assert _searched(card) == 4096
    assert card.tried == [1024, 2048, 4096, 8192]


def test_a_search_ends_where_more_is_of_no_use() -> None:
    """A large card is not filled for its own sake."""
    card = FakeCard(free=10**12)
    assert _searched(card) == max(card.tried) == CARD_TOKENS


def test_memory_that_ends_ends_the_search() -> None:
    """The card may hold less than it says."""
    assert _searched(FakeCard(free=10**12, room=3000 * EACH)) == 2048


def test_the_longest_text_is_always_tried() -> None:
    """Where not even two of them fit, and where one is longer than the search goes: that one then is a dead letter."""
    assert _searched(FakeCard(free=0)) == 512
    assert _searched(FakeCard(free=10**12), longest=100_000) == 100_000


@given(room=st.integers(0, 10**6), low=st.integers(1, 10**4), high=st.integers(1, 10**6))
def test_a_search_finds_the_last_that_fits(room: int, low: int, high: int) -> None:
    """Within its bounds, it fits, and twice as much does not."""
    found = search(lambda tokens: tokens <= room, low=low, high=high)
    assert found == low or found <= min(room, high)
    assert found * 2 > min(room, high)


def test_a_machine_with_memory_gets_the_usual_budget(model: Path) -> None:
    """More gives no more throughput; what a pass takes at most is in the log."""
    lanes = load(model).lanes
    with structlog.testing.capture_logs() as logs:
        assert on_cpu(lanes, 10**12, 62) == on_cpu(lanes, None, 62) == CPU_TOKENS
    assert logs[0] == {
        "event": "batch_budget",
        "log_level": "info",
        "max_batch_tokens": CPU_TOKENS,
        "peak_bytes": peak_bytes(lanes, CPU_TOKENS),
        "free_bytes": 10**12,
    }


def test_a_small_container_gets_a_smaller_budget(model: Path) -> None:
    """A pass takes half of the free memory at most, and no more than needed for the longest text."""
    lanes = load(model).lanes
    free = 2 * peak_bytes(lanes, 1000)
    assert on_cpu(lanes, free, 62) == 1000
    with structlog.testing.capture_logs() as logs:
        assert on_cpu(lanes, 1000, 62) == 62
    assert logs[0]["log_level"] == "warning"


def test_a_budget_that_is_set_is_kept(model: Path) -> None:
    """Unless the longest text would not fit: then it is raised, with a warning."""
    with structlog.testing.capture_logs() as logs:
        assert whole(62, 62) == 62
        assert not logs
        assert whole(61, 62) == 62
    assert (logs[0]["configured"], logs[0]["used"], logs[0]["log_level"]) == (61, 62, "warning")
    engine = load(model, max_batch_tokens=10)
    assert not predict(engine, texts_of(5, POSITIONS)).failed
