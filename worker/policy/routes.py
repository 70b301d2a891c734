"""Which label a text gets and which topic its result goes to: pure, a batch at a time."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.errors import SettingsError
from worker.types import Classifier, Predictions

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Policy:
    """Where results go. `primary` None is the first classifier; labels are compared to the letter, case included.

    A label's score below `review_below`, or below the model's own threshold of it, sends the result to `review_topic`,
    whatever the label's own route.
    """

    default_topic: str
    primary: str | None = None
    routes: Mapping[str, str] = field(default_factory=dict)
    review_topic: str | None = None
    review_below: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """The primary classifier's label with its score, the topic, and what every classifier gives, in their order.

    `label` and `score` are None together: a multi-label classifier found nothing above its threshold, there is no
    classifier, or the scores are no numbers. Then the route is the default topic. `labels` has the best first.
    """

    label: str | None
    score: float | None
    route: str
    labels: tuple[tuple[str, ...], ...]


def decide(
    policy: Policy, classifiers: Sequence[Classifier], scores: Sequence[Scores], multi_threshold: float
) -> Decision:
    """The decision for one text; `scores[c]` is its row of classifier c."""
    rows = tuple(np.atleast_2d(np.asarray(row, dtype=np.float32)) for row in scores)
    return _decide(policy, classifiers, rows, 1, multi_threshold)[0]


def decide_batch(policy: Policy, predictions: Predictions, multi_threshold: float) -> list[Decision]:
    """Decisions for n texts, in their order. Raises `SettingsError` if no classifier is called `policy.primary`.

    `single`: the best label (the first of equals). `multi`: all labels above their thresholds, see `limits`.
    """
    count = len(predictions.embeddings)
    return _decide(policy, predictions.classifiers, predictions.scores, count, multi_threshold)


def limits(classifier: Classifier, multi_threshold: float) -> Scores:
    """Above which score a label of `multi` is given: the model's own threshold of it, or `multi_threshold`."""
    return np.array([classifier.thresholds.get(label, multi_threshold) for label in classifier.labels], np.float32)


def findings(policy: Policy, classifiers: Sequence[Classifier]) -> list[str]:
    """What in the policy cannot come true with these classifiers: one line each, with what to do."""
    unknown = _unknown_primary(policy, classifiers)
    if unknown:
        return [unknown]
    primary = classifiers[_primary_index(policy, classifiers)] if classifiers else None
    wrong = (label for label in policy.routes if primary is None or label not in primary.labels)
    return [_explain_route(label, primary, classifiers) for label in wrong]


def _decide(
    policy: Policy, classifiers: Sequence[Classifier], scores: Sequence[Scores], count: int, multi_threshold: float
) -> list[Decision]:
    nothing = Decision(None, None, policy.default_topic, ())
    if not classifiers:
        return [nothing] * count
    primary = _primary_index(policy, classifiers)
    labels = [_labels(c, rows, multi_threshold) for c, rows in zip(classifiers, scores, strict=True)]
    floors = _floors(policy, classifiers[primary])
    decisions = []
    for given, row in zip(zip(*labels, strict=True), scores[primary].tolist(), strict=True):
        if given[primary]:
            label = given[primary][0]
            index = classifiers[primary].labels.index(label)
            decisions.append(Decision(label, row[index], _route(policy, label, row[index] < floors[index]), given))
        else:
            decisions.append(Decision(None, None, policy.default_topic, given))
    return decisions


def _labels(classifier: Classifier, scores: Scores, multi_threshold: float) -> list[tuple[str, ...]]:
    """The labels that each row of scores gives, best first; none where a score is not a number."""
    usable = np.isfinite(scores).all(axis=1)
    if classifier.kind == "single":
        best = np.where(usable, scores.argmax(axis=1), -1)
        names = [*((label,) for label in classifier.labels), ()]  # -1 is the last: no label
        return [names[index] for index in best.tolist()]
    order = np.argsort(-scores, axis=1, kind="stable").tolist()
    above = ((scores > limits(classifier, multi_threshold)) & np.reshape(usable, (-1, 1))).tolist()
    return [tuple(classifier.labels[i] for i in row if given[i]) for row, given in zip(order, above, strict=True)]


def _floors(policy: Policy, classifier: Classifier) -> list[float]:
    """Below which score each label is unsure; rounded to float32, so that a score of 0.7 is not below 0.7."""
    own = classifier.thresholds if classifier.kind == "single" else {}
    floors = [max(policy.review_below, own.get(label, 0.0)) for label in classifier.labels]
    return [float(floor) for floor in np.array(floors, np.float32)]


def _route(policy: Policy, label: str, unsure: bool) -> str:
    if unsure and policy.review_topic is not None:
        return policy.review_topic
    return policy.routes.get(label, policy.default_topic)


def _primary_index(policy: Policy, classifiers: Sequence[Classifier]) -> int:
    unknown = _unknown_primary(policy, classifiers)
    if unknown:
        raise SettingsError(unknown)
    return next((i for i, c in enumerate(classifiers) if c.name == policy.primary), 0)


def _unknown_primary(policy: Policy, classifiers: Sequence[Classifier]) -> str | None:
    names = [c.name for c in classifiers]
    if policy.primary is None or policy.primary in names:
        return None
    return f"policy.primary names {policy.primary!r}, which is no classifier; {_suggest(policy.primary, names)}"


def _explain_route(label: str, primary: Classifier | None, classifiers: Sequence[Classifier]) -> str:
    if primary is None:
        return f"policy.routes has {label!r}, but the model gives no labels; train a head or remove the route"
    for other in classifiers:
        if label in other.labels:
            return (
                f"policy.routes has {label!r}, a label of classifier {other.name!r}, but {primary.name!r} decides; "
                f"set policy.primary to {other.name!r} or remove the route"
            )
    known = [name for c in classifiers for name in c.labels]
    return f"policy.routes has {label!r}, which no classifier gives; {_suggest(label, known)}"


def _suggest(name: str, known: Sequence[str]) -> str:
    """The nearest known name; what differs only in case is nearest of all."""
    if not known:
        return "there is none"
    same = [k for k in known if k.casefold() == name.casefold()]
    near = same or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(map(repr, known[:10]))}"
