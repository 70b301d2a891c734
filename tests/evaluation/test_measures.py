"""The figures of classification: by hand, and beside scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from tests.evaluation.cases import LABELS, answers, drawn, multi, shuffled, single
from worker.evaluation.answers import Answers, Kind
from worker.evaluation.measures import accuracy, areas, by_label, confusion, macro_areas, profile

FOUR = single(
    ("ham", [0.7, 0.2, 0.1]),
    ("ham", [0.4, 0.6, 0.0]),
    ("spam", [0.1, 0.8, 0.1]),
    ("spam", [0.2, 0.5, 0.3]),
)


def ones(found: Answers) -> np.ndarray:
    return np.ones((1, len(found.truth)))


def test_figures_by_hand() -> None:
    """Four texts, one wrong: ham has precision 1, recall 1/2, spam 2/3 and 1; scam does not occur and is left out."""
    found = {name: float(value[0]) for name, value in profile(FOUR, ones(FOUR)).items()}
    assert found["accuracy"] == 0.75
    assert found["macro_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["macro_recall"] == pytest.approx(0.75)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["weighted_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert [np.isnan(rate[0, 2]) for rate in by_label(FOUR, ones(FOUR))] == [True, True, True]


def test_a_label_that_is_never_given_has_zero() -> None:
    """It has texts but no right one: precision, recall and F1 are 0, not unknown."""
    found = single(("ham", [0.9, 0.1, 0.0]), ("scam", [0.9, 0.1, 0.0]))
    assert [rate[0, 2] for rate in by_label(found, ones(found))] == [0.0, 0.0, 0.0]


def test_confusion_by_hand() -> None:
    """Rows are right labels, columns the given ones; of several labels a text there is no such table."""
    assert confusion(FOUR).tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert confusion(multi((["ham"], [0.9, 0.1, 0.1]))) is None


def test_several_labels_by_hand() -> None:
    """A text is right only with all its labels; a label is judged for itself."""
    found = multi((["ham", "spam"], [0.9, 0.8, 0.1]), (["spam"], [0.2, 0.4, 0.1]), ([], [0.1, 0.1, 0.5]))
    assert accuracy(found.right, ones(found)) == pytest.approx(2 / 3)
    assert [rate[0, 1] for rate in by_label(found, ones(found))] == [1.0, 0.5, pytest.approx(2 / 3)]


def test_areas_by_hand() -> None:
    """Three of four pairs in the right order are 3/4; an equal pair counts half."""
    found = single(
        ("spam", [0.1, 0.9]), ("ham", [0.2, 0.8]), ("spam", [0.3, 0.7]), ("ham", [0.9, 0.1]), labels=("ham", "spam")
    )
    roc, pr = areas(found, ones(found))
    assert roc[0].tolist() == [0.75, 0.75]
    assert pr[0, 1] == pytest.approx((1 + 2 / 3) / 2)
    even = single(("spam", [0.5, 0.5]), ("ham", [0.5, 0.5]), labels=("ham", "spam"))
    assert areas(even, ones(even))[0].tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_scikit_learn_says_the_same(kind: Kind) -> None:
    """Every figure, on weights of 1 and on others."""
    found = drawn(kind, n=150, labels=4, seed=3)
    truth, guess = found.truth.astype(int), found.given.astype(int)
    for weights in (np.ones(150), np.random.default_rng(1).integers(0, 4, 150).astype(float)):
        ours = {n: v[0] for n, v in (profile(found, weights[None]) | macro_areas(found, weights[None])).items()}
        for average in ("macro", "weighted"):
            rates = metrics.precision_recall_fscore_support(truth, guess, average=average, sample_weight=weights)
            for name, theirs in zip(("precision", "recall", "f1"), rates, strict=False):
                assert ours[f"{average}_{name}"] == pytest.approx(theirs), (average, name)
        assert ours["accuracy"] == pytest.approx(metrics.accuracy_score(truth, guess, sample_weight=weights))
        scored = (truth, found.scores)
        assert ours["roc_auc"] == pytest.approx(metrics.roc_auc_score(*scored, sample_weight=weights))
        assert ours["pr_auc"] == pytest.approx(metrics.average_precision_score(*scored, sample_weight=weights))


@given(answers(), st.integers(0, 100))
def test_the_order_of_texts_does_not_matter(found: Answers, seed: int) -> None:
    """Shuffled texts give the same figures, equal scores included."""
    other = shuffled(found, seed)
    for measure in (profile, macro_areas):
        before, after = measure(found, ones(found)), measure(other, ones(other))
        assert {n: v[0] for n, v in after.items()} == pytest.approx({n: v[0] for n, v in before.items()}, nan_ok=True)


def test_labels_that_nobody_knows_are_refused() -> None:
    """A name outside of the labels is an error, never a silent miss."""
    with pytest.raises(KeyError):
        single(("nope", [0.1, 0.2, 0.7]), labels=LABELS)
