"""Logistic regression with a strength chosen on the validation part."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from worker.evaluation.answers import Answers
from worker.evaluation.calibration import tempered
from worker.training.linear import STRENGTHS, TOLERANCE, USUAL, Linear, Part, fit, probabilities
from worker.training.progress import Silence

RANDOM = np.random.default_rng(5)


def part(count: int, labels: int, *, noise: float, kind: str = "single") -> Part:
    """Texts whose first columns tell their labels, more or less."""
    truth = np.eye(labels, dtype=bool)[RANDOM.integers(0, labels, count)]
    if kind == "multi":
        truth = RANDOM.random((count, labels)) < 0.4
    features = np.hstack([truth + noise * RANDOM.normal(size=truth.shape), np.zeros((count, 3))])
    return Part(features / np.linalg.norm(features, axis=1, keepdims=True), truth)


@pytest.mark.parametrize("labels", [2, 4])
def test_it_is_sklearns_regression(labels: int) -> None:
    """Without validation, to the digit, also for two labels, of which sklearn keeps one row."""
    train = part(200, labels, noise=0.5)
    found = fit("single", train, None, balanced=False, seed=0, progress=Silence())
    model = LogisticRegression(C=USUAL, max_iter=1000, tol=TOLERANCE).fit(train.features, train.truth.argmax(axis=1))
    scores = probabilities("single", found.logits(train.features))
    np.testing.assert_allclose(scores, model.predict_proba(train.features), atol=1e-3)
    assert found.weight.shape == (labels, labels + 3)


def test_sparse_features_give_the_same() -> None:
    """Whatever columns are empty."""
    train = part(100, 3, noise=0.5)
    sparse = Part(csr_matrix(train.features), train.truth)
    dense, found = (fit("single", p, None, balanced=False, seed=0, progress=Silence()) for p in (train, sparse))
    np.testing.assert_allclose(found.weight, dense.weight, atol=1e-3)


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_noisy_data_gets_a_weaker_model(kind: str) -> None:
    """The validation part decides: strong weights for clear data, weak ones for noise."""
    chosen = [
        fit(kind, *(part(150, 3, noise=noise, kind=kind) for _ in range(2)), balanced=False, seed=0, progress=Silence())
        for noise in (0.2, 5.0)
    ]
    assert chosen[0].strength > chosen[1].strength
    assert {found.strength for found in chosen} <= set(STRENGTHS)


def test_a_label_that_all_texts_have_is_always_given() -> None:
    """Of several labels one may be everywhere, or nowhere; there is nothing to learn, and it does not fail."""
    train = part(60, 3, noise=0.2, kind="multi")
    train.truth[:, 0], train.truth[:, 1] = True, False
    found = fit("multi", train, None, balanced=False, seed=0, progress=Silence())
    scores = probabilities("multi", found.logits(train.features))
    assert scores[:, 0].min() > 0.9
    assert scores[:, 1].max() < 0.1


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_a_folded_temperature_is_a_temperature(kind: str) -> None:
    """Dividing the weights gives what dividing the logits gives."""
    linear = Linear(RANDOM.normal(size=(3, 4)), RANDOM.normal(size=3), 1.0)
    features = RANDOM.normal(size=(5, 4))
    raw = Answers(kind, ("a", "b", "c"), np.zeros((5, 3), bool), probabilities(kind, linear.logits(features)))
    folded = probabilities(kind, linear.over(1.7).logits(features))
    np.testing.assert_allclose(folded, tempered(raw, 1.7).scores, atol=1e-6)
