"""A new model against the one in use: when it is refused, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from worker.evaluation.answers import Answers, Flags
from worker.evaluation.replacement import lines, over, weigh, worse_labels

LABELS = ("ham", "spam")
N = 200


def _truth(n: int = N) -> Flags:
    return np.asarray(np.arange(n)[:, None] % 2 == np.arange(2))


def _answers(wrong: range | list[int], n: int = N) -> Answers:
    """Right but for some."""
    truth = _truth(n)
    scores = np.where(truth, 0.9, 0.1)
    scores[list(wrong)] = 1 - scores[list(wrong)]
    return Answers("single", LABELS, truth, scores)


def _flags(which: range, n: int = N) -> Flags:
    return np.isin(np.arange(n), which)


def test_a_better_model_is_not_refused() -> None:
    """It says how much better, on what."""
    found = weigh(_answers(range(40)), _answers(range(10)), _flags(range(20)), seed=0)
    assert found.refusal is None
    assert (found.texts, found.corrected, found.right_in_use, found.right_new) == (200, 20, 0, 10)
    said = list(lines(found))
    assert said[0].startswith("on 200 held-back texts: macro-F1 0.800 in use, 0.950 new, +15.0 points (")
    assert said[1].startswith("on 180 of them that nobody has corrected: +11.1 points (")
    assert said[2:] == ["of 20 held-back corrections: 0 right in use, 10 new"]


def test_a_model_that_is_lower_on_all_texts_is_refused() -> None:
    """By however little: nothing speaks for it. By how much is said, and on which labels."""
    found = weigh(_answers([0, 2]), _answers([0, 2, 4]), _flags(range(0)), seed=0)
    assert found.refusal is not None
    assert found.refusal.startswith("macro-F1 -0.5 points (")
    assert worse_labels(found).startswith("'ham' -0.5 points (")
    assert [change.label for change in found.labels] == ["ham", "spam"]


def test_corrections_alone_do_not_make_a_model_better() -> None:
    """What it gains on texts that the model in use got wrong, it must not lose, beyond chance, on all the others."""
    found = weigh(_answers(range(40)), _answers(range(40, 70)), _flags(range(40)), seed=0)
    assert found.whole.macro_f1.value > 0
    assert found.refusal is not None
    assert found.refusal.endswith("on 160 held-back texts that nobody has corrected")


def test_a_loss_within_chance_on_uncorrected_texts_is_no_refusal() -> None:
    """Where the whole is better."""
    found = weigh(_answers(range(40)), _answers(range(40, 42)), _flags(range(40)), seed=0)
    assert found.uncorrected is not None
    assert found.uncorrected.macro_f1.value < 0
    assert found.refusal is None


def test_equal_models_are_not_refused() -> None:
    """The same answers: the difference is nought, and no label is worse."""
    found = weigh(_answers(range(9)), _answers(range(9)), _flags(range(0)), seed=0)
    assert (found.refusal, worse_labels(found)) == (None, "")
    assert len(list(lines(found))) == 1


def test_corrections_only() -> None:
    """There need not be any other text."""
    found = weigh(_answers(range(40)), _answers(range(10)), _flags(range(N)), seed=0)
    assert (found.uncorrected, found.refusal) == (None, None)


def test_a_label_that_a_model_does_not_know_is_never_right() -> None:
    """Its texts count against it, as in use."""
    labels = ("bills", *LABELS)
    truth = np.zeros((N, 3), np.bool_)
    truth[:, 1:] = _truth()
    truth[:50] = [True, False, False]
    wider = over(_answers(range(0)), labels, truth)
    assert not wider.given[:, 0].any()
    assert wider.right.sum() == 150
    new = Answers("single", labels, truth, np.where(truth, 0.9, 0.1))
    changes = {change.label: change for change in weigh(wider, new, _flags(range(0)), seed=0).labels}
    assert changes["bills"].difference.value == pytest.approx(1.0)
    assert (changes["bills"].in_use, changes["bills"].new, changes["bills"].texts) == (0.0, 1.0, 50)


def test_many_labels_are_not_all_named() -> None:
    """A line that can be read."""
    labels = tuple("abcdefgh")
    truth = np.asarray(np.arange(80)[:, None] % 8 == np.arange(8))
    good = Answers("single", labels, truth, truth.astype(float))
    bad = Answers("single", labels, truth, np.roll(truth, 1, axis=1).astype(float))
    said = worse_labels(weigh(good, bad, np.zeros(80, np.bool_), seed=0))
    assert said.endswith(" and 3 more labels")
    assert said.count("points") == 5
