"""Intervals: reproducible, as wide as they should be, and sharp for two models on the same texts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.cases import drawn
from worker.evaluation import bootstrap
from worker.evaluation.bootstrap import compare, estimates


def share(right: np.ndarray) -> bootstrap.Measure:
    return lambda weights: {"share": weights @ right / weights.sum(axis=1)}


def test_an_interval_is_as_wide_as_theory_says() -> None:
    """80 of 100: 0.8 ± 1.96 · 0.04."""
    found = estimates(share(np.arange(100) < 80), 100, seed=0)["share"]
    assert found.value == pytest.approx(0.8)
    assert (found.low, found.high) == (pytest.approx(0.72, abs=0.015), pytest.approx(0.88, abs=0.015))


def test_the_seed_decides() -> None:
    """The same seed gives the same interval, another one nearly the same."""
    numbers = np.random.default_rng(0).random(50)
    one, again, other = (estimates(share(numbers), 50, seed=seed)["share"] for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert one.low == pytest.approx(other.low, abs=0.05)


def test_blocks_do_not_change_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many texts are drawn a few draws at a time, with the same outcome."""
    measure = share(np.arange(50) < 30)
    whole = estimates(measure, 50, seed=1, draws=30)
    monkeypatch.setattr(bootstrap, "BLOCK", 120)
    assert estimates(measure, 50, seed=1, draws=30) == whole


def test_a_figure_that_does_not_exist_is_left_out() -> None:
    """Not a number on the texts themselves: no estimate; on some draws: those are passed over."""

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"never": np.full(len(weights), np.nan), "at times": np.where(weights[:, 0] == 1, 1.0, np.nan)}

    assert list(estimates(measure, 5, seed=0)) == ["at times"]


def test_a_model_against_itself_is_no_difference() -> None:
    """Neither better nor worse, without any spread."""
    found = compare(drawn(), drawn(), seed=0)
    assert (found.macro_f1.low, found.macro_f1.value, found.macro_f1.high) == (0.0, 0.0, 0.0)
    assert not found.better
    assert not found.worse


def test_a_small_but_steady_difference_is_found() -> None:
    """Right on 9 of 200 texts more, and never wrong where the other is right: chance does not explain it."""
    good = drawn(n=200)
    scores = good.scores.copy()
    for i in np.flatnonzero(good.right)[:9]:
        scores[i] = np.roll(scores[i], 1)
    bad = replace(good, scores=scores)
    found = compare(good, bad, seed=0)
    assert found.accuracy.value == pytest.approx(9 / 200)
    assert found.better
    assert compare(bad, good, seed=0).worse
