"""What it takes to be worth a transformer: TF-IDF and a linear model, on the same training texts.

Words and character n-grams; the latter also serve languages without spaces. Strengths are chosen on validation.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.svm import LinearSVC

from worker.evaluation.answers import Answers, Flags, Kind, Numbers
from worker.evaluation.measures import profile

Features = Literal["words", "characters"]
MAX_FEATURES = 100_000  # bounds memory; rarer n-grams hardly ever decide
NEVER = -1e6  # a margin below all others
LOOSE = 1e-3  # of the solvers: labels settle long before the last digits do


class Part(NamedTuple):
    """Texts of one split with their labels, bool [n, labels]."""

    texts: Sequence[str]
    truth: Flags


@dataclass(frozen=True, slots=True)
class Baseline:
    """A fitted one. `macro_f1` is on validation; `strength` is C, of naive Bayes the smoothing. `test` its answers."""

    name: str
    features: Features
    strength: float
    macro_f1: float
    seconds: float
    test: Answers


class _Way(NamedTuple):
    """A linear model: how to make it, the strengths to try, whether it gives probabilities, and fits in seconds."""

    name: str
    make: Callable[[float, int], Any]
    strengths: tuple[float, ...]
    probable: bool
    quick: bool = True


def _ways() -> tuple[_Way, ...]:
    return (
        _Way("linear SVM", lambda c, seed: LinearSVC(C=c, random_state=seed), (0.1, 1.0, 10.0), False),
        _Way(
            "logistic regression",
            lambda c, seed: LogisticRegression(C=c, tol=LOOSE, max_iter=300, random_state=seed),
            (1.0, 10.0, 100.0),
            probable=True,
            quick=False,
        ),
        _Way("naive Bayes", lambda alpha, _: MultinomialNB(alpha=alpha), (0.01, 0.1, 1.0), True),
    )


def fit_baselines(
    *, kind: Kind, labels: tuple[str, ...], train: Part, valid: Part, test: Part, seed: int, quick: bool = False
) -> Iterator[Baseline]:
    """One after the other as they are fitted, so that a caller can show how far it is. `quick`: only those that are."""
    features: tuple[Features, ...] = ("words", "characters")
    for named in features:
        vectorizer = _vectorizer(named)
        try:
            rows = vectorizer.fit_transform(train.texts)
        except ValueError:  # not one word in all texts
            continue
        valid_rows, test_rows = vectorizer.transform(valid.texts), vectorizer.transform(test.texts)
        for way in (way for way in _ways() if way.quick or not quick):
            began = time.monotonic()
            fitted = [_fit(way, kind, strength, seed, rows, train.truth) for strength in way.strengths]
            scored = [_answers(way, kind, labels, model, valid_rows, valid.truth) for model in fitted]
            values = [_macro_f1(answers) for answers in scored]
            best = int(np.argmax(values))
            yield Baseline(
                name=way.name,
                features=named,
                strength=way.strengths[best],
                macro_f1=values[best],
                seconds=time.monotonic() - began,
                test=_answers(way, kind, labels, fitted[best], test_rows, test.truth),
            )


def best_of(baselines: Sequence[Baseline]) -> Baseline | None:
    """The best on the test texts: to choose there can only be to a baseline's advantage."""
    return max(baselines, key=lambda baseline: _macro_f1(baseline.test), default=None)


def _macro_f1(answers: Answers) -> float:
    return float(profile(answers, np.ones((1, len(answers.truth))))["macro_f1"][0])


def _vectorizer(features: Features) -> TfidfVectorizer:
    if features == "words":
        return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=MAX_FEATURES, token_pattern=r"\w+")
    return TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True, max_features=MAX_FEATURES)


def _fit(way: _Way, kind: Kind, strength: float, seed: int, rows: Any, truth: Flags) -> Any:
    model = way.make(strength, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Label .* is present in all training examples", UserWarning)
        if kind == "multi":
            return OneVsRestClassifier(model).fit(rows, truth.astype(np.int8))
        return model.fit(rows, truth.argmax(axis=1))


def _answers(way: _Way, kind: Kind, labels: tuple[str, ...], model: Any, rows: Any, truth: Flags) -> Answers:
    found = np.asarray(model.predict_proba(rows) if way.probable else model.decision_function(rows), np.float64)
    if kind == "multi":
        scores = found.reshape(len(truth), -1)[:, -len(labels) :]  # of a lone label sklearn also gives the opposite
    else:
        scores = _in_columns(found, model.classes_, len(labels), 0.0 if way.probable else NEVER)
    return Answers(kind, labels, truth, scores, probable=way.probable, cut=0.5 if way.probable else 0.0)


def _in_columns(found: Numbers, classes: Any, labels: int, absent: float) -> Numbers:
    """A column for each label, `absent` where no training text has it. A margin of two classes is one number."""
    columns = np.stack([-found, found], axis=1) if found.ndim == 1 else found
    scores = np.full((len(found), labels), absent)
    scores[:, classes] = columns
    return scores
