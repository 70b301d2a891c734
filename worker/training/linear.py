"""Logistic regression on given features: its strength is chosen on the validation part, by calibrated likelihood."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import diags, issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from worker.evaluation.answers import Answers, Flags, Kind, Numbers
from worker.evaluation.calibration import fit_temperature, tempered
from worker.training.progress import Progress

# Of rows of length one or so the coordinates are small: the usual 1.0 holds the weights back too much.
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
USUAL = 10.0
MARGIN = 0.001  # of the loss: less is no reason to trust stronger weights
PATIENCE = 2  # strengths in a row that are no better end the search
MAX_ITERATIONS = 1000
TOLERANCE = 1e-5  # of the gradient: at sklearn's 1e-4 stronger weights would often stay those of the strength before

Matrix = Any  # [n, columns]: an array or a sparse matrix by rows


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The features of a split's texts, and their labels, bool [n, labels]."""

    features: Matrix
    truth: Flags

    def scaled(self, scales: Numbers) -> Part:
        """With each column times its scale; a weight of it times that is one of the columns as they were."""
        features = self.features @ diags(scales) if issparse(self.features) else self.features * scales
        return replace(self, features=features)


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """`weight` [labels, columns] and `bias` [labels]; `strength` is the C that they were fitted with.

    `loss` is the validation part's, at its best temperature; None where there was none.
    """

    weight: Numbers
    bias: Numbers
    strength: float
    loss: float | None = None

    def logits(self, features: Matrix) -> Numbers:
        return np.asarray(features @ self.weight.T + self.bias, np.float64)

    def over(self, temperature: float) -> Linear:
        """The same with logits divided by the temperature."""
        return replace(self, weight=self.weight / temperature, bias=self.bias / temperature)


def fit(
    kind: Kind,
    train: Part,
    valid: Part | None,
    *,
    balanced: bool,
    seed: int,
    progress: Progress,
    strengths: Sequence[float] = STRENGTHS,
) -> Linear:
    """The best of the strengths, weakest first, on `valid`; the usual one where there is nothing to choose on.

    `single` is a softmax over the labels, `multi` a sigmoid for each.
    """
    fitting = _Fitting(kind, train, balanced=balanced, seed=seed)
    if valid is None:
        return fitting.at(USUAL)
    found: list[Linear] = []
    with progress.task("fitting", len(strengths)) as advance:
        for strength in strengths:
            linear = fitting.at(strength)
            loss = _loss(kind, linear.logits(valid.features), valid.truth)
            found.append(replace(linear, loss=loss))
            advance(1, f"C {strength:g}: loss {loss:.4f}")
            if len(found) - found.index(best_of(found)) > PATIENCE:
                break
    return best_of(found)


def best_of(fits: Sequence[Linear]) -> Linear:
    """The first that is not worse than any other by more than the margin; the first where nothing is known of them."""
    least = min(fit.loss or 0.0 for fit in fits)
    return next(fit for fit in fits if (fit.loss or 0.0) <= least + MARGIN)


def probabilities(kind: Kind, logits: Numbers) -> Numbers:
    """As the worker makes them of a head's logits."""
    if kind == "multi":
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -80.0, 80.0))))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


class _Fitting:
    """Fits stronger and stronger models, each from where the one before ended."""

    def __init__(self, kind: Kind, train: Part, *, balanced: bool, seed: int) -> None:
        self._train = train
        self._used = _used(train.features)
        self._features = train.features[:, self._used]
        targets: Iterable[NDArray[np.intp]]
        targets = [train.truth.argmax(axis=1)] if kind == "single" else list(train.truth.T.astype(np.intp))
        weights = "balanced" if balanced else None
        options = {"class_weight": weights, "max_iter": MAX_ITERATIONS, "tol": TOLERANCE, "random_state": seed}
        self._models = [(y, LogisticRegression(**options, warm_start=True)) for y in targets]

    def at(self, strength: float) -> Linear:
        rows = [self._rows(y, model, strength) for y, model in self._models]
        weight = np.zeros((self._train.truth.shape[1], self._train.features.shape[1]))
        weight[:, self._used] = np.vstack([weight for weight, _ in rows])
        return Linear(weight, np.concatenate([bias for _, bias in rows]), strength)

    def _rows(self, y: NDArray[np.intp], model: Any, strength: float) -> tuple[Numbers, Numbers]:
        """Of a softmax over two labels sklearn keeps one row, whose opposite is zero; so it does of a sigmoid."""
        labels = self._train.truth.shape[1]
        if y.min() == y.max():  # a label that all texts have, or none
            true = float(y.sum())
            return np.zeros((1, len(self._used))), np.array([log((true + 0.5) / (len(y) - true + 0.5))])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the validation part says what it is worth
            model.set_params(C=strength).fit(self._features, y)
        weight, bias = model.coef_, model.intercept_
        if len(self._models) == 1 and len(weight) < labels:
            return np.vstack([np.zeros_like(weight), weight]), np.concatenate([[0.0], bias])
        return weight, bias


def _used(features: Matrix) -> NDArray[np.intp]:
    """Columns that are not zero throughout: the others learn nothing, and each costs memory for every label."""
    return np.flatnonzero(abs(features).max(axis=0).toarray() if issparse(features) else abs(features).max(axis=0))


def _loss(kind: Kind, logits: Numbers, truth: Flags) -> float:
    """Negative log-likelihood of a text at the best temperature, which a model gets afterwards in any case.

    It moves with every text of a small part, where accuracy and F1 of many strengths are the same.
    """
    raw = Answers(kind, tuple(map(str, range(truth.shape[1]))), truth, probabilities(kind, logits))
    scores = tempered(raw, fit_temperature(raw, prior=0.0)).scores  # it is compared, not given to anybody
    sure = np.where(truth, scores, 1 - scores) if kind == "multi" else scores[truth]
    return float(-np.log(np.maximum(sure, 1e-12)).sum() / len(truth))
