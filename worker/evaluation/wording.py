"""The words and figures that the terminal, the page and a model card have in common."""

from __future__ import annotations

from collections.abc import Iterable

from worker.evaluation.bootstrap import Estimate
from worker.evaluation.outcome import Against, Evaluation, Quality
from worker.evaluation.thresholds import Attained, Threshold

MAX_PAIRS = 10
FIGURES = {
    "accuracy": "accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "weighted_precision": "weighted precision",
    "weighted_recall": "weighted recall",
    "weighted_f1": "weighted F1",
    "roc_auc": "ROC-AUC (macro)",
    "pr_auc": "PR-AUC (macro)",
}


def verdict(quality: Quality, against: Against | None) -> str:
    """One line: is the model worth it?"""
    f1 = quality.figures["macro_f1"]
    if against is None:
        return f"Macro-F1 {f1.value:.3f} (95 %: {f1.low:.3f} to {f1.high:.3f}); no baseline was fitted to compare with."
    found = f"macro-F1 {points(against.comparison.macro_f1)}"
    if against.comparison.better:
        return f"BERT pays here: better than {against.name}, {found}."
    if against.comparison.worse:
        return f"BERT does not pay here: worse than {against.name}, {found}."
    return f"BERT does not pay here: not surely better than {against.name}, {found}."


def span(estimate: Estimate | None, digits: int = 3) -> str:
    """A figure with its interval."""
    if estimate is None:
        return "–"
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f}–{estimate.high:.{digits}f})"


def points(estimate: Estimate) -> str:
    """A difference with its interval, in hundredths."""
    value, low, high = (100 * number for number in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.1f} points ({low:+.1f} to {high:+.1f})"


def temperature_name(evaluation: Evaluation) -> str:
    """The temperature and where it comes from."""
    origins = {"model": "its own", "validation": "from validation", "nowhere": "no validation"}
    return f"temperature {evaluation.temperature:.3f}, {origins[evaluation.temperature_from]}"


def threshold_line(threshold: Threshold) -> str:
    """What a target came to, and how sure that is."""
    valid = threshold.valid
    if not valid.given:
        return f"{threshold.target}: not reached, as no validation text is given the label"
    how = f"{_attained(valid)} on validation"
    then = f"; {_attained(threshold.test)} on test" if threshold.test else ""
    start = f"{threshold.target}: {'' if threshold.reached else 'NOT REACHED; nearest is '}score ≥ {threshold.at:.4f}"
    return f"{start}: {how}{then}"


def shortfalls(thresholds: Iterable[Threshold]) -> list[str]:
    """A warning for each goal that the validation part does not reach; its threshold is written all the same."""
    return [f"WARNING: {_shortfall(threshold)}" for threshold in thresholds if not threshold.reached]


def _shortfall(threshold: Threshold) -> str:
    target, valid = threshold.target, threshold.valid
    if not valid.given:
        return f"{target} is not reached: no validation text is given the label, so none counts as sure, all are unsure"
    best = valid.precision if target.measure == "precision" else valid.recall
    return (
        f"{target} is not reached at any score on validation, the best is {best:.3f}; the threshold of that is written:"
        " give more texts, a better recipe or a lower goal"
    )


def threshold_lines(evaluation: Evaluation) -> list[str]:
    """The model's own thresholds, then those that were asked for."""
    own = [f"own threshold of {o.label}, {o.at:.4f}: {_attained(o.test)} on test" for o in evaluation.own_thresholds]
    return [*own, *map(threshold_line, evaluation.thresholds)]


def confused(evaluation: Evaluation, count: int = MAX_PAIRS) -> list[tuple[str, str, int]]:
    """The most frequent mistakes: right label, given label, texts."""
    names = [label.label for label in evaluation.quality.labels]
    pairs = [
        (names[i], names[j], found)
        for i, row in enumerate(evaluation.quality.confusion or ())
        for j, found in enumerate(row)
        if i != j and found
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:count]


def _attained(found: Attained) -> str:
    precision = f"precision {found.precision:.3f} ({found.low:.3f}–{found.high:.3f})"
    return f"{precision}, recall {found.recall:.3f}, {found.given:,} texts sure, {found.unsure:,} unsure"
