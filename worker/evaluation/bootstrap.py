"""How far a figure could be off: texts drawn again with replacement, the figure computed anew on each draw.

A draw is a row of weights, how often it holds each text, so that a measure computes many draws at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from worker.evaluation.answers import Answers, Numbers
from worker.evaluation.measures import accuracy, profile

DRAWS = 1000
LEVEL = 0.95
BLOCK = 2_000_000  # weights held at a time: 16 MB

# From weights [draws, n] to figures by name, each [draws]; not a number where a draw does not say.
Measure = Callable[[Numbers], Mapping[str, Numbers]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure on the texts at hand, and the interval that it would fall into on others of their kind."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One model against another on the same texts, in differences: above 0 the first is better."""

    accuracy: Estimate
    macro_f1: Estimate

    @property
    def better(self) -> bool:
        """By more than chance."""
        return self.macro_f1.low > 0

    @property
    def worse(self) -> bool:
        """By more than chance."""
        return self.macro_f1.high < 0


def estimates(
    measure: Measure, n: int, *, seed: int, level: float = LEVEL, draws: int = DRAWS, reflect: bool = False
) -> dict[str, Estimate]:
    """Each figure with its percentile interval; one that does not exist on these texts is left out.

    `reflect` is for figures that noise can only raise, such as a calibration error: redrawing adds that noise a second
    time, so the interval is mirrored at the figure itself, and ends at 0.
    """
    whole = measure(np.ones((1, n)))
    parts = [measure(weights) for weights in _draws(n, draws, seed)]
    drawn = {name: np.concatenate([part[name] for part in parts]) for name in whole}
    return {
        name: _estimate(float(value[0]), drawn[name][np.isfinite(drawn[name])], level, reflect)
        for name, value in whole.items()
        if np.isfinite(value[0])
    }


def compare(one: Answers, other: Answers, *, seed: int) -> Comparison:
    """The paired bootstrap: both models on the same draws, which is far sharper than comparing two intervals."""

    def differences(weights: Numbers) -> dict[str, Numbers]:
        f1, other_f1 = (profile(given, weights)["macro_f1"] for given in (one, other))
        return {
            "accuracy": accuracy(one.right, weights) - accuracy(other.right, weights),
            "macro_f1": f1 - other_f1,
        }

    return Comparison(**estimates(differences, len(one.truth), seed=seed))


def _draws(n: int, count: int, seed: int) -> Iterator[Numbers]:
    random = np.random.default_rng(seed)
    block = max(1, BLOCK // max(n, 1))
    for start in range(0, count, block):
        rows = range(min(block, count - start))
        yield np.array([np.bincount(random.integers(n, size=n), minlength=n) for _ in rows], np.float64)


def _estimate(value: float, drawn: Numbers, level: float, reflect: bool) -> Estimate:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]).tolist() if len(drawn) else (value, value)
    if reflect:
        low, high = max(0.0, 2 * value - high), max(0.0, 2 * value - low)
    return Estimate(value, low, high)
