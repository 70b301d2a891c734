"""Trials in processes of their own, and what is made of their figures."""

from __future__ import annotations

import pytest

from worker.bench.runs import in_turn, median, ratio, run
from worker.bench.trial import Request
from worker.errors import Stop


def test_a_ratio_is_taken_within_each_round() -> None:
    """A round on a slow machine slows both sides, and its ratio is as good as any."""
    over = [{"rate": 95.0}, {"rate": 9.5}, {"rate": 96.0}]
    under = [{"speed": 100.0}, {"speed": 10.0}, {"speed": 100.0}]
    assert ratio(over, under, "rate", "speed") == pytest.approx(0.95)


def test_the_median_ignores_one_bad_round() -> None:
    """Of three rounds the middle one counts."""
    assert median([{"x": 1.0}, {"x": 100.0}, {"x": 2.0}], "x") == 2.0


def test_trials_take_turns() -> None:
    """All of a round before the next one; each one's figures in the order of the rounds."""
    order: list[str] = []

    def pretend(request: Request) -> dict[str, int]:
        order.append(request.engine)
        return {"number": len(order)}

    requests = {"a": Request(kind="worker", engine="none"), "b": Request(kind="worker", engine="stand_in")}
    said: list[str] = []
    found = in_turn(requests, 2, said.append, pretend)
    assert order == ["none", "stand_in", "none", "stand_in"]
    assert found == {"a": [{"number": 1}, {"number": 3}], "b": [{"number": 2}, {"number": 4}]}
    assert said[0] == "a, 1 of 2"


def test_a_trial_that_fails_says_why_in_one_line() -> None:
    """What its process wrote last."""
    with pytest.raises(Stop, match=r"failed: --set nonsense: write --set section.key=value$"):
        run(Request(kind="bare", assignments=("nonsense",)))


def test_a_trial_in_a_process_of_its_own_gives_figures() -> None:
    """The bare engine over texts of ours, here without a model."""
    figures = run(Request(kind="bare", engine="stand_in", texts=10, batch=4))
    assert figures["forwards"] == 3
    assert figures["texts_per_s"] > 0
