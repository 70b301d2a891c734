"""Thresholds from a goal: reached where they were chosen, honest where they cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.cases import answers, multi, single
from worker.errors import SettingsError
from worker.evaluation.answers import Answers
from worker.evaluation.thresholds import Target, choose, own_thresholds, parse_target, refuse_unknown, wilson
from worker.evaluation.wording import threshold_line

PAIR = ("ham", "spam")
# Spam at falling scores: right, right, wrong, right, wrong; and two hams, one of them a spam that is missed.
SPAM = single(
    ("spam", [0.1, 0.9]),
    ("spam", [0.2, 0.8]),
    ("ham", [0.3, 0.7]),
    ("spam", [0.375, 0.625]),
    ("ham", [0.45, 0.55]),
    ("ham", [0.9, 0.1]),
    ("spam", [0.8, 0.2]),
    labels=PAIR,
)


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("precision=0.99:spam", Target("precision", 0.99, "spam")),
        ("recall=.9:a:b c", Target("recall", 0.9, "a:b c")),
        ("precision=1:垃圾", Target("precision", 1.0, "垃圾")),
    ],
    ids=["usual", "colon in the label", "all"],
)
def test_a_target_is_read(written: str, target: Target) -> None:
    """Measure, goal and label, whatever the label holds."""
    assert parse_target(written) == target


@pytest.mark.parametrize("written", ["precision=0.99", "f1=0.9:spam", "precision=0:spam", "recall=1.1:x", "spam", ""])
def test_a_target_that_is_none_is_refused(written: str) -> None:
    """One line that shows how it is written."""
    with pytest.raises(SettingsError, match=r"precision=0\.99:spam"):
        parse_target(written)


def test_labels_of_targets_are_checked() -> None:
    """One that the model does not have, and two goals for one label."""
    with pytest.raises(SettingsError, match="it has: ham, spam"):
        refuse_unknown([parse_target("precision=0.9:spma")], PAIR)
    with pytest.raises(SettingsError, match="two targets"):
        refuse_unknown([parse_target("precision=0.9:spam"), parse_target("recall=0.9:spam")], PAIR)


@pytest.mark.parametrize(
    ("written", "at", "precision", "recall", "unsure"),
    [
        ("precision=0.75:spam", (0.55, 0.625), 0.75, 0.75, 1),
        ("precision=0.9:spam", (0.7, 0.8), 1.0, 0.5, 3),
        ("recall=0.5:spam", (0.7, 0.8), 1.0, 0.5, 3),
        ("recall=0.6:spam", (0.55, 0.625), 0.75, 0.75, 1),
    ],
)
def test_the_threshold_by_hand(
    written: str, at: tuple[float, float], precision: float, recall: float, unsure: int
) -> None:
    """The lowest score for a precision, the highest for a recall, half way to the next; below it texts are unsure."""
    found = choose(parse_target(written), SPAM)
    assert found.reached
    assert found.at == pytest.approx(sum(at) / 2)
    assert (found.valid.precision, found.valid.recall, found.valid.unsure) == (precision, recall, unsure)


def test_a_precision_is_not_bought_with_texts_that_are_wrong() -> None:
    """Where all spams score high, a goal of 0.75 lets in no lower score: it would find no further spam."""
    found = multi((["spam"], [0.1, 0.9]), (["spam"], [0.1, 0.8]), (["spam"], [0.1, 0.8]), ([], [0.1, 0.2]), labels=PAIR)
    chosen = choose(parse_target("precision=0.75:spam"), found)
    assert chosen.at == pytest.approx(0.5)
    assert (chosen.valid.precision, chosen.valid.recall) == (1.0, 1.0)


def test_a_goal_out_of_reach_is_said() -> None:
    """A missed spam is beyond any threshold: the nearest one is named, and that it falls short."""
    found = choose(parse_target("recall=0.9:spam"), SPAM)
    assert not found.reached
    assert found.valid.recall == 0.75
    assert "NOT REACHED" in threshold_line(found)
    never = choose(parse_target("precision=0.5:spam"), single(("spam", [0.9, 0.1]), labels=PAIR))
    assert not never.reached
    assert "no validation text" in threshold_line(never)


def test_the_test_part_is_told_beside() -> None:
    """What was chosen on validation is shown on texts that had no say in it."""
    found = choose(parse_target("precision=0.9:spam"), SPAM, SPAM.of(np.array([0, 2, 4])))
    assert found.test is not None
    assert (found.test.given, found.test.unsure, found.test.precision) == (1, 2, 1.0)


def test_the_models_own_threshold_is_tried() -> None:
    """As it stands in the model: at 0.75 two spams are sure and right, three would-be ones are not."""
    (found,) = own_thresholds({"spam": 0.75}, SPAM)
    assert (found.test.given, found.test.precision, found.test.recall, found.test.unsure) == (2, 1.0, 0.5, 3)


def test_a_label_among_several_has_its_own_threshold() -> None:
    """Above one half or below it: the goal alone decides."""
    found = multi((["spam"], [0.1, 0.4]), (["spam"], [0.1, 0.3]), ([], [0.1, 0.2]), labels=PAIR)
    chosen = choose(parse_target("precision=1:spam"), found)
    assert chosen.at == pytest.approx(0.25)
    assert (chosen.valid.precision, chosen.valid.recall, chosen.valid.unsure) == (1.0, 1.0, 0)


@given(answers(), st.sampled_from(["precision", "recall"]), st.floats(0.05, 1))
def test_a_reached_goal_is_reached_where_it_was_chosen(found: Answers, measure: str, goal: float) -> None:
    """As a worker would compare: scores in float32, at the threshold and above."""
    place = 0
    threshold = choose(Target(measure, goal, found.labels[place]), found)  # type: ignore[arg-type]
    scores = found.scores[:, place].astype(np.float32)
    would = found.given[:, place] if found.kind == "single" else np.ones(len(scores), bool)
    sure, true = would & (scores >= threshold.at), found.truth[:, place]
    share = (sure & true).sum() / max((sure if measure == "precision" else true).sum(), 1)
    assert (share >= goal) == threshold.reached
    assert getattr(threshold.valid, measure) == share


def test_ten_right_texts_are_no_proof_of_much() -> None:
    """Wilson's interval, as the books have it; of nothing, nothing is known."""
    assert wilson(10, 10) == (pytest.approx(0.7225, abs=1e-3), 1.0)
    assert wilson(50, 100) == (pytest.approx(0.4038, abs=1e-3), pytest.approx(0.5962, abs=1e-3))
    assert wilson(0, 0) == (0.0, 1.0)
