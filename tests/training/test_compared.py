"""Which recipe is taken, and how the comparison is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.cases import multi, single
from worker.evaluation.bootstrap import Estimate
from worker.training.compared import TITLES, Answered, Compared, choose, difference, length, notes, table

TEXTS = 1000


def right_in(share: float, *, texts: int = TEXTS, first: int = 0) -> Answered:
    """Answers of which so many are right, beginning with the `first` text."""
    rows = []
    for place in range(texts):
        right = (place - first) % texts < round(share * texts)
        ham = right == bool(place % 2)
        rows.append(("ham" if place % 2 else "spam", [0.9, 0.1] if ham else [0.1, 0.9]))
    return Answered(single(*rows, labels=("ham", "spam")), tuple(f"text {i}" for i in range(texts)))


@pytest.mark.parametrize(
    ("passes", "shares", "chosen"),
    [
        ([1, 1, 1.33, 2], [0.90, 0.90, 0.90, 0.90], 0),
        ([1, 1, 1.33, 2], [0.90, 0.902, 0.903, 0.905], 1),
        ([1, 1, 1.33, 2], [0.90, 0.902, 0.91, 0.912], 2),
        ([1, 1, 1.33, 2], [0.90, 0.89, 0.89, 0.95], 3),
        ([1, 1, 1, 1], [0.90, 0.90, 0.90, 0.902], 3),
        ([1], [0.5], 0),
    ],
    ids=["equal", "no dearer", "a third of a pass", "a whole pass", "none is shared", "alone"],
)
def test_what_costs_more_has_to_be_better(passes: list[float], shares: list[float], chosen: int) -> None:
    """A point of macro-F1 for each pass more; what costs no pass needs to be better only."""
    assert choose(passes, [right_in(share) for share in shares], seed=0) == chosen


def test_chance_alone_buys_no_pass() -> None:
    """Three of a hundred texts more, of which others are wrong, may be nothing."""
    one, other = right_in(0.80, texts=100), right_in(0.83, texts=100, first=50)
    assert choose([1, 2], [one, other], seed=0) == 0
    assert choose([1, 1], [one, other], seed=0) == 1


def test_texts_are_compared_in_pairs_whatever_their_order() -> None:
    """A fine-tuning answers the longest ones first; what one of them could not read is left out for both."""
    one, other = right_in(0.9), right_in(0.8)
    order = np.random.default_rng(0).permutation(TEXTS)[: TEXTS - 50]
    mixed = Answered(other.answers.of(order), tuple(other.texts[i] for i in order))
    kept = np.sort(order)
    expected = difference(
        Answered(one.answers.of(kept), tuple(one.texts[i] for i in kept)),
        Answered(other.answers.of(kept), tuple(other.texts[i] for i in kept)),
        seed=0,
    )
    assert difference(one, mixed, seed=0).value == pytest.approx(expected.value)
    assert difference(other, mixed, seed=0) == Estimate(0.0, 0.0, 0.0)


def test_labels_in_another_order_are_no_difference() -> None:
    """A base that is a classifier already keeps its own."""
    one = Answered(multi((["a"], [0.9, 0.1]), (["b"], [0.8, 0.1]), labels=("a", "b")), ("x", "y"))
    swapped = multi((["a"], [0.1, 0.9]), (["b"], [0.1, 0.8]), labels=("b", "a"))
    assert difference(one, replace(one, answers=swapped), seed=0).value == 0.0


def test_the_table_shows_what_was_left_out() -> None:
    """With the reason below it; the chosen recipe is marked."""
    rows = [
        Compared("head", 1.0, 0.0031, 0.9, 0.91, seconds=61.0, chosen=True),
        Compared("full", 2.0, 0.0062, note="left out, the time budget is spent"),
    ]
    first, second = table(rows)
    assert first == ("head *", "0.900", "–", "0.910", "61 s", "1.00", "3.10 ms")
    assert second == ("full", "–", "–", "–", "–", "2.00", "6.20 ms")
    assert len(first) == len(TITLES)
    assert next(notes(rows)) == "full: left out, the time budget is spent"


@pytest.mark.parametrize(("seconds", "told"), [(4.4, "4 s"), (99.0, "99 s"), (720, "12 min"), (9000, "2.5 h")])
def test_times_are_told_as_people_say_them(seconds: float, told: str) -> None:
    """In whole seconds, minutes, or hours."""
    assert length(seconds) == told
