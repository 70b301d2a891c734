"""A model's answers to labelled texts, a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from worker.errors import SettingsError
from worker.evaluation.answers import Answers, Kind, truth_of
from worker.types import Engine

PART = 512  # texts between two signs of life


@dataclass(frozen=True, slots=True)
class Asked:
    """`answers` are of the texts at `places`; those that the model could not read are not among them."""

    answers: Answers
    places: tuple[int, ...]
    unread: int


def refuse_strangers(kind: Kind, labels: Sequence[str], model_kind: Kind, model_labels: Sequence[str]) -> None:
    """Raises `SettingsError` where the model cannot be right about the data: it lacks a label, or gives only one."""
    if not model_labels:
        raise SettingsError("the model gives no labels; train a head on it with `tagstream train`")
    if kind == "multi" and model_kind == "single":
        raise SettingsError("the data has several labels a text, but the model gives one; train one on such data")
    strange = [label for label in labels if label not in model_labels]
    if strange:
        known = ", ".join(model_labels[:10])
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        raise SettingsError(f"the data has the label {strange[0][:40]!r}{more}, which the model lacks; it has: {known}")


def ask(engine: Engine, texts: Sequence[str], named: Sequence[Sequence[str]], through: Callable[[int], None]) -> Asked:
    """What the first classifier says; `through` is told of each part. Raises `SettingsError` if no text will do."""
    classifier = engine.classifiers[0]
    rows, places = [], []
    for start in range(0, len(texts), PART):
        tokenized = engine.tokenize(texts[start : start + PART])
        predictions = engine.infer(tokenized)
        lost = set(tokenized.errors) | set(predictions.failed)
        scores = predictions.scores[0].astype(np.float64)
        usable = [i for i in range(len(scores)) if i not in lost and np.isfinite(scores[i]).all()]
        rows.append(scores[usable])
        places += [start + i for i in usable]
        through(len(scores))
    if not places:
        raise SettingsError(f"none of {len(texts)} texts could be read by the model; check the column with the text")
    truth = truth_of((named[i] for i in places), classifier.labels)
    if not truth.any():
        raise SettingsError(f"none of {len(places)} texts has a label; a model cannot be judged by them")
    answers = Answers(classifier.kind, classifier.labels, truth, np.concatenate(rows))
    return Asked(answers, tuple(places), len(texts) - len(places))
