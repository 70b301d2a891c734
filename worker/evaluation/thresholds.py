"""A goal such as `precision=0.99:spam`, made a threshold on the validation part.

A text whose label scores less than the label's threshold is unsure: the policy sends it to its review topic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np

from worker.errors import SettingsError
from worker.evaluation.answers import Answers, Flags, Numbers

Z = 1.96  # a normal distribution's 95 %


@dataclass(frozen=True, slots=True)
class Target:
    """What a label has to reach."""

    measure: Literal["precision", "recall"]
    goal: float
    label: str

    def __str__(self) -> str:
        return f"{self.measure}={self.goal:g}:{self.label}"


@dataclass(frozen=True, slots=True)
class Attained:
    """What a threshold does to one label on one part of the data.

    `given` texts get the label for sure, `unsure` ones would get it but score less. `low` and `high` are Wilson's
    95 % interval of the precision: a goal reached on ten texts is not yet one reached.
    """

    precision: float
    recall: float
    low: float
    high: float
    given: int
    unsure: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """The choice for a target: the label is sure at scores of `at` and above.

    Where no score reaches the goal on validation, `reached` is false, and `at` is where most of it is reached.
    """

    target: Target
    at: float
    reached: bool
    valid: Attained
    test: Attained | None = None


@dataclass(frozen=True, slots=True)
class OwnThreshold:
    """One that the model was given when it was trained, and what it does on the test part."""

    label: str
    at: float
    test: Attained


def parse_target(written: str) -> Target:
    """`precision=0.99:spam`. Raises `SettingsError`."""
    match = re.fullmatch(r"(precision|recall)=(\d*\.?\d+):(.+)", written, re.DOTALL)
    if not match or not 0 < float(match[2]) <= 1:
        raise SettingsError(
            f"target {written!r} is not MEASURE=GOAL:LABEL, such as precision=0.99:spam or recall=0.9:x"
        )
    return Target("precision" if match[1] == "precision" else "recall", float(match[2]), match[3])


def refuse_unknown(targets: Sequence[Target], labels: Sequence[str]) -> None:
    """Raises `SettingsError` for a target whose label the model does not have, or that has two targets."""
    for place, target in enumerate(targets):
        if target.label not in labels:
            known = ", ".join(labels[:10])
            raise SettingsError(f"target {target} names a label that the model does not have; it has: {known}")
        if target.label in [other.label for other in targets[:place]]:
            raise SettingsError(f"label {target.label!r} has two targets; one threshold can only serve one")


def choose(target: Target, valid: Answers, test: Answers | None = None) -> Threshold:
    """For a precision the score that reaches it with most of the label found, for a recall the highest that reaches it.

    Of scores that find as much the highest: what lies below it only gets wrong texts the label.
    """
    scores, would, true = _column(target.label, valid)
    candidates = np.unique(scores[would])[::-1]
    if not len(candidates):
        return Threshold(target, 1.0, False, _attained(target.label, 1.0, valid), _on_test(target.label, 1.0, test))
    reached = _values(target, candidates, scores[would], true[would], int(true.sum()))
    good = np.flatnonzero(reached >= target.goal)
    if not len(good):
        place = int(reached.argmax())  # where it falls least short
    elif target.measure == "recall":
        place = int(good[0])  # highest first
    else:
        hits = np.array([(true[would] & (scores[would] >= candidates[i])).sum() for i in good])
        place = int(good[hits.argmax()])
    at = _between(candidates, place)
    return Threshold(target, at, bool(len(good)), _attained(target.label, at, valid), _on_test(target.label, at, test))


def own_thresholds(known: Mapping[str, float], test: Answers) -> tuple[OwnThreshold, ...]:
    """A model's thresholds by label, on answers with its temperature."""
    return tuple(OwnThreshold(label, at, _attained(label, at, test)) for label, at in known.items())


def wilson(true: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share; 0 to 1 of nothing."""
    if not count:
        return 0.0, 1.0
    share = true / count
    middle = share + Z**2 / (2 * count)
    spread = Z * sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    whole = 1 + Z**2 / count
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)


def _column(label: str, answers: Answers) -> tuple[Numbers, Flags, Flags]:
    """Of one label: scores as a worker compares them, texts that would get it, texts that have it."""
    place = answers.labels.index(label)
    scores = answers.scores[:, place].astype(np.float32).astype(np.float64)
    would = answers.given[:, place] if answers.kind == "single" else np.ones(len(scores), np.bool_)
    return scores, would, answers.truth[:, place]


def _values(target: Target, candidates: Numbers, scores: Numbers, true: Flags, all_true: int) -> Numbers:
    """The measure at each candidate, highest first: all texts that score so much or more."""
    order = np.argsort(-scores, kind="stable")
    ends = np.searchsorted(-scores[order], -candidates, side="right")
    hits = true[order].cumsum()[ends - 1]
    return np.asarray(hits / ends if target.measure == "precision" else hits / max(all_true, 1), np.float64)


def _between(candidates: Numbers, place: int) -> float:
    """Half way to the next lower score, as float32, so that the last digit of a score decides nothing."""
    own = np.float32(candidates[place])
    if place + 1 == len(candidates):
        return float(own)
    half = np.float32((candidates[place] + candidates[place + 1]) / 2)
    return float(half if half > np.float32(candidates[place + 1]) else own)


def _on_test(label: str, at: float, test: Answers | None) -> Attained | None:
    return None if test is None else _attained(label, at, test)


def _attained(label: str, at: float, answers: Answers) -> Attained:
    scores, would, true = _column(label, answers)
    sure = would & (scores >= at)
    given, hits, all_true = int(sure.sum()), int((sure & true).sum()), int(true.sum())
    unsure = answers.given[:, answers.labels.index(label)] & ~sure
    return Attained(
        precision=hits / given if given else 0.0,
        recall=hits / all_true if all_true else 0.0,
        low=wilson(hits, given)[0],
        high=wilson(hits, given)[1],
        given=given,
        unsure=int(unsure.sum()),
    )
