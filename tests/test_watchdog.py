"""The watchdog: a stuck worker is called stuck, one that waits for good reason is not."""

import threading

import pytest

from worker.types import Partition
from worker.watchdog import Deadlines, Observation, Watchdog, dump_stacks

P0, P1 = Partition("texts", 0), Partition("texts", 1)
DEADLINES = Deadlines(stall_s=30, stage_deadline_s=100)
ENDS = {P0: 50}


def _first_verdict(*ticks: tuple[float, Observation]) -> tuple[float, str] | None:
    """The first verdict of a fresh watchdog, and when."""
    watchdog = Watchdog(DEADLINES)
    return next(((now, reason) for now, seen in ticks if (reason := watchdog.verdict(now, seen))), None)


def _every_10_s(count: int, **seen: object) -> list[tuple[float, Observation]]:
    """The same observation at 0, 10, 20, … s."""
    return [(10.0 * n, Observation(**seen)) for n in range(count)]  # type: ignore[arg-type]


def _moving(count: int, step: int) -> list[tuple[float, Observation]]:
    return [(10.0 * n, Observation(positions={P0: step * n}, stable_ends={P0: 10_000})) for n in range(count)]


STUCK = {"positions": {P0: 10}, "stable_ends": ENDS}

STALLS = [
    pytest.param(_every_10_s(20, **STUCK), 30.0, id="lag-and-no-move"),
    pytest.param(_every_10_s(20, positions={P0: None}), 30.0, id="position-never-found"),
    pytest.param(_every_10_s(20, positions={P0: 10, P1: 5}, stable_ends={P0: 50, P1: 5}), 30.0, id="one-of-two"),
    pytest.param(
        [(10.0 * n, Observation(positions={P0: 10 - n % 2 * 5}, stable_ends=ENDS)) for n in range(20)],
        30.0,
        id="rewinding-is-no-progress",
    ),
    pytest.param(
        [(10.0 * n, Observation(**STUCK, busy_since={"deliver": 10.0 * n - 1})) for n in range(20)],  # type: ignore[arg-type]
        30.0,
        id="short-work-that-leads-nowhere",
    ),
]


@pytest.mark.parametrize(("ticks", "when"), STALLS)
def test_work_in_reach_and_no_progress_is_a_stall(ticks: list[tuple[float, Observation]], when: float) -> None:
    """With records to read and no position moving for the deadline, the verdict says so, and since when."""
    verdict = _first_verdict(*ticks)
    assert verdict is not None
    assert verdict == (when, "no position moved for 30 s although 1 partitions have records to read")


RESTS = [
    pytest.param(_moving(50, step=1), id="progress-however-slow"),
    pytest.param(_every_10_s(50, positions={P0: 50}, stable_ends=ENDS), id="all-read-or-open-transaction"),
    pytest.param(_every_10_s(50, positions={P0: 51}, stable_ends=ENDS), id="end-older-than-position"),
    pytest.param(_every_10_s(50, positions={P0: 10}), id="end-not-known"),
    pytest.param(_every_10_s(50), id="no-partitions"),
    pytest.param(_every_10_s(50, **STUCK, brokers_reachable=False), id="brokers-unreachable"),
    pytest.param(
        _every_10_s(50, **STUCK, brokers_reachable=False, busy_since={"deliver": 0.0}), id="waiting-for-brokers"
    ),
    pytest.param(_every_10_s(50, **STUCK, paused=True), id="paused"),
    pytest.param(_every_10_s(10, **STUCK, busy_since={"infer": 0.0}), id="one-long-pass-within-its-deadline"),
]


@pytest.mark.parametrize("ticks", RESTS)
def test_it_rests_while_nothing_can_be_expected_to_move(ticks: list[tuple[float, Observation]]) -> None:
    """No brokers, an open transaction at the position, a pause, no partitions, or a long pass: no verdict."""
    assert _first_verdict(*ticks) is None


def test_a_stage_past_its_deadline_is_named() -> None:
    """A stage that has worked on one batch for the deadline is a verdict, lag or not."""
    verdict = _first_verdict(*_every_10_s(20, positions={P0: 50}, stable_ends=ENDS, busy_since={"infer": 5.0}))
    assert verdict == (110.0, "stage infer has worked on one batch for 105 s (delivery.stage_deadline_s 100)")


def test_clocks_start_again_after_a_rest() -> None:
    """What waited an hour for the brokers gets its whole deadline once they are back."""
    watchdog = Watchdog(DEADLINES)
    waiting = {"positions": {P0: 10}, "stable_ends": ENDS, "busy_since": {"deliver": 0.0}}
    assert watchdog.verdict(0, Observation(**waiting)) is None  # type: ignore[arg-type]
    assert watchdog.verdict(3600, Observation(**waiting, brokers_reachable=False)) is None  # type: ignore[arg-type]
    assert watchdog.verdict(3690, Observation(**waiting)) is None  # type: ignore[arg-type]
    assert "stage deliver" in str(watchdog.verdict(3700, Observation(**waiting)))  # type: ignore[arg-type]


def test_a_new_assignment_starts_the_clock_again() -> None:
    """Partitions that came from another worker are given the whole deadline, with positions lower than before too."""
    watchdog = Watchdog(DEADLINES)
    for now in (0, 10, 20):
        assert watchdog.verdict(now, Observation(positions={P0: 10}, stable_ends={P0: 50})) is None
    for now in (30, 40, 50):
        assert watchdog.verdict(now, Observation(positions={P1: 3}, stable_ends={P1: 9})) is None
    assert watchdog.verdict(60, Observation(positions={P1: 3}, stable_ends={P1: 9})) is not None


def test_stacks_name_threads_and_functions_but_no_values() -> None:
    """The dump has every thread's functions; what their variables hold is not in it."""
    release, entered = threading.Event(), threading.Event()

    def holds_a_text(text: str) -> None:
        entered.set()
        release.wait()

    thread = threading.Thread(target=holds_a_text, args=("my card number",), name="infer")
    thread.start()
    entered.wait()
    try:
        stacks = dump_stacks()
    finally:
        release.set()
        thread.join()
    assert "thread infer:" in stacks
    assert "holds_a_text" in stacks
    assert "test_stacks_name_threads" in stacks
    assert "my card number" not in stacks
