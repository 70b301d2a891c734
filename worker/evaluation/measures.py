"""The usual figures of classification, on weighted texts: weights of 1 give the figure, a bootstrap's its spread.

They agree with scikit-learn's (the tests compare), which computes one set of weights at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.answers import Answers, Flags, Numbers

Table = NDArray[np.int64]


def accuracy(right: Flags, weights: Numbers) -> Numbers:
    """The share of texts that are right; of `multi` all labels have to be."""
    return np.asarray(weights @ right / weights.sum(axis=1))


def profile(answers: Answers, weights: Numbers) -> dict[str, Numbers]:
    """Accuracy, and precision, recall and F1 macro and weighted, each [draws]."""
    precision, recall, f1 = by_label(answers, weights)
    support = weights @ answers.truth
    found = {"accuracy": accuracy(answers.right, weights)}
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        there = np.isfinite(values)
        filled = np.where(there, values, 0.0)
        found[f"macro_{name}"] = _ratio(filled.sum(axis=1), there.sum(axis=1))
        found[f"weighted_{name}"] = _ratio((filled * support).sum(axis=1), support.sum(axis=1))
    return found


def by_label(answers: Answers, weights: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Precision, recall and F1, each [draws, labels]; 0 where nothing is right.

    Not a number where a draw neither has the label nor is given it: such a label is left out of the averages.
    """
    given, truth = answers.given, answers.truth
    right = weights @ (given & truth)
    wrong, missed = weights @ (given & ~truth), weights @ (~given & truth)
    there = right + wrong + missed > 0
    rates = (
        _ratio(right, right + wrong),
        _ratio(right, right + missed),
        _ratio(2 * right, 2 * right + wrong + missed),
    )
    precision, recall, f1 = (np.where(there, np.nan_to_num(rate), np.nan) for rate in rates)
    return precision, recall, f1


def areas(answers: Answers, weights: Numbers) -> tuple[Numbers, Numbers]:
    """Areas under the ROC and the precision-recall curve (average precision) of each label, both [draws, labels].

    Not a number where a draw has no text with the label, or none without it.
    """
    found = [_areas(answers.scores[:, i], answers.truth[:, i], weights) for i in range(len(answers.labels))]
    return np.stack([roc for roc, _ in found], axis=1), np.stack([pr for _, pr in found], axis=1)


def macro_areas(answers: Answers, weights: Numbers) -> dict[str, Numbers]:
    """Mean areas over the labels that have one, each [draws]."""
    named = zip(("roc_auc", "pr_auc"), areas(answers, weights), strict=True)
    return {name: _ratio(np.nan_to_num(values).sum(axis=1), np.isfinite(values).sum(axis=1)) for name, values in named}


def confusion(answers: Answers) -> Table | None:
    """Counts [true label, given label] of `single` texts; `multi` ones have no such table."""
    if answers.kind == "multi":
        return None
    return np.asarray(answers.truth.astype(np.int64).T @ answers.given.astype(np.int64))


def _areas(scores: Numbers, truth: Flags, weights: Numbers) -> tuple[Numbers, Numbers]:
    """Texts of equal score are one step of the curves, whatever their order."""
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    ordered, true = weights[:, order], truth[order]
    hits = np.add.reduceat(ordered * true, starts, axis=1)
    misses = np.add.reduceat(ordered * ~true, starts, axis=1)
    hits_above, misses_above = hits.cumsum(axis=1), misses.cumsum(axis=1)
    all_hits, all_misses = hits_above[:, -1], misses_above[:, -1]
    below = all_misses[:, None] - misses_above + misses / 2
    precision = np.nan_to_num(_ratio(hits_above, hits_above + misses_above))
    roc = _ratio((hits * below).sum(axis=1), all_hits * all_misses)
    pr = _ratio((hits * precision).sum(axis=1), all_hits)
    return roc, np.where(all_misses > 0, pr, np.nan)


def _ratio(part: NDArray[np.generic], whole: NDArray[np.generic]) -> Numbers:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.divide(part, whole), np.float64)
