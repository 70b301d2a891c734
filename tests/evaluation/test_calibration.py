"""Scores that mean what they say: temperature, calibration error and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.cases import answers, drawn, multi, shuffled, single
from worker.evaluation.answers import Answers, Kind
from worker.evaluation.calibration import PRIOR_TEXTS, calibration_of, fit_temperature, logits_of, tempered


def test_calibration_error_by_hand() -> None:
    """Scores of 0.8 that are right in one of two: the gap is 0.3, in one bin."""
    found = calibration_of(single(("ham", [0.8, 0.1, 0.1]), ("spam", [0.8, 0.1, 0.1])), seed=0)
    assert found.ece.value == pytest.approx(0.3)
    assert [(b.claims, b.sureness, b.true) for b in found.bins] == [(2, pytest.approx(0.8), 0.5)]
    assert found.nll == pytest.approx(-(np.log(0.8) + np.log(0.1)) / 2)
    assert found.brier == pytest.approx((0.06 + 0.64 + 0.81 + 0.01) / 2)


def test_every_label_of_a_multi_label_text_is_a_claim() -> None:
    """Two labels at 0.2 of which none is there: the gap is 0.2; each is counted."""
    found = calibration_of(multi(([], [0.2, 0.2]), labels=("ham", "spam")), seed=0)
    assert found.ece.value == pytest.approx(0.2)
    assert sum(b.claims for b in found.bins) == 2


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_too_much_sureness(kind: Kind, sharpness: float) -> None:
    """Logits that were multiplied are divided by about the same; the error falls where it was large."""
    found = drawn(kind, n=3000, sharpness=sharpness)
    temperature = fit_temperature(found)
    assert temperature == pytest.approx(sharpness, rel=0.12)
    before, after = calibration_of(found, seed=0), calibration_of(tempered(found, temperature), seed=0)
    assert after.nll <= before.nll
    assert after.ece.value < 0.03
    assert after.ece.value < before.ece.value or sharpness == 1.0


def test_scores_that_are_true_are_seldom_called_wrong() -> None:
    """Noise alone gives an error above 0; but of 20 such sets, the intervals of 17 and more reach a small one."""
    found = [calibration_of(drawn(n=400, seed=seed), seed=0).ece for seed in range(20)]
    assert sum(ece.value > 0.03 for ece in found) >= 10
    assert sum(ece.low < 0.03 for ece in found) >= 17
    assert all(ece.low <= ece.value for ece in found)


@pytest.mark.parametrize("texts", [5, 50, 250])
def test_a_part_without_errors_does_not_make_scores_endless(texts: int) -> None:
    """Five texts that are all right are no reason to be sure, hundreds are: as if ten more had been seen."""
    found = single(*[("ham", [0.6, 0.2, 0.2])] * texts)
    sure = tempered(found, fit_temperature(found)).scores[0, 0]
    assert sure == pytest.approx((texts + 0.6 * PRIOR_TEXTS) / (texts + PRIOR_TEXTS))


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_temperatures_of_few_texts_do_no_harm(sharpness: float) -> None:
    """Those of twenty texts, on all others: on average better than none, or hardly worse where none is right."""
    others = drawn(n=3000, seed=99, sharpness=sharpness)

    def loss(temperature: float) -> float:
        return float(-np.log(tempered(others, temperature).scores[others.truth]).mean())

    few = [fit_temperature(drawn(n=20, seed=seed, sharpness=sharpness)) for seed in range(20)]
    assert np.mean([loss(temperature) for temperature in few]) < loss(1.0) + 0.02


@given(answers(), st.floats(0.2, 10))
def test_no_temperature_changes_a_label(found: Answers, temperature: float) -> None:
    """Scores get nearer or farther, their order stays."""
    cooled = tempered(found, temperature)
    np.testing.assert_array_equal(cooled.given, found.given)
    assert np.isfinite(cooled.scores).all()


@given(answers(), st.integers(0, 100))
def test_the_order_of_texts_does_not_matter(found: Answers, seed: int) -> None:
    """Shuffled texts have the same temperature and the same error."""
    other = shuffled(found, seed)
    assert fit_temperature(other) == pytest.approx(fit_temperature(found), rel=1e-6)
    assert calibration_of(other, seed=0).ece.value == pytest.approx(calibration_of(found, seed=0).ece.value)


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_a_temperature_of_one_changes_nothing(kind: Kind) -> None:
    """Logits are taken back from probabilities without a loss; 0 and 1 stay finite."""
    found = drawn(kind, n=50)
    np.testing.assert_allclose(tempered(found, 1.0).scores, found.scores, atol=1e-12)
    assert np.isfinite(logits_of(kind, np.array([[0.0, 1.0]], np.float32))).all()
