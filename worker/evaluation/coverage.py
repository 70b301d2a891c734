"""If only the surest texts are decided and the rest goes to a person: how right are the decided ones?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.evaluation.answers import Answers, Flags, Numbers
from worker.evaluation.bootstrap import Estimate, estimates

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class Point:
    """The surest `share` of texts: all that score `above` or more; `accuracy` is theirs."""

    share: float
    above: float
    accuracy: Estimate


def coverage_of(answers: Answers, *, seed: int) -> tuple[Point, ...]:
    """The curve, from the surest tenth to all texts."""
    sureness = answers.sureness
    order = np.argsort(-sureness, kind="stable")
    even = _even(sureness[order], answers.right[order])

    def measure(weights: Numbers) -> dict[str, Numbers]:
        return _accuracies(even, weights[:, order])

    found = estimates(measure, len(order), seed=seed)
    return tuple(Point(s, float(sureness[order][_last(s, len(order))]), found[f"{s}"]) for s in SHARES)


def _last(share: float, n: int) -> int:
    """The place of the last of the surest texts."""
    return max(1, round(share * n)) - 1


def _even(sureness: Numbers, right: Flags) -> Numbers:
    """Texts of equal sureness count as right to equal parts, so that their order does not matter."""
    _, group, sizes = np.unique(-sureness, return_inverse=True, return_counts=True)
    return np.asarray((np.bincount(group, right) / sizes)[group])


def _accuracies(right: Numbers, weights: Numbers) -> dict[str, Numbers]:
    """By share; weights and texts in the order of sureness. Of the text that a share ends in, as much as it takes."""
    covered, correct = weights.cumsum(axis=1), (weights * right).cumsum(axis=1)
    rows, found = np.arange(len(weights)), {}
    for share in SHARES:
        wanted = np.maximum(1.0, np.round(share * covered[:, -1]))
        end = np.minimum((covered < wanted[:, None]).sum(axis=1), len(right) - 1)
        surplus = covered[rows, end] - wanted
        found[f"{share}"] = (correct[rows, end] - surplus * right[end]) / wanted
    return found
