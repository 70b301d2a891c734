"""Coverage and slices: figures of parts of the texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.cases import answers, drawn, shuffled, single
from worker.evaluation.answers import Answers
from worker.evaluation.coverage import coverage_of
from worker.evaluation.slices import by_length

PAIR = ("ham", "spam")


def test_coverage_by_hand() -> None:
    """Ten texts, the least sure two wrong: right up to 80 %, then 8 of 9, then 8 of 10."""
    scores = [0.99 - i / 25 for i in range(10)]
    found = single(*(("ham" if i < 8 else "spam", [s, 1 - s]) for i, s in enumerate(scores)), labels=PAIR)
    points = {point.share: point for point in coverage_of(found, seed=0)}
    assert [points[share].accuracy.value for share in (0.1, 0.5, 0.8)] == [1.0, 1.0, 1.0]
    assert points[0.9].accuracy.value == pytest.approx(8 / 9)
    assert points[1.0].accuracy.value == 0.8
    assert points[0.8].above == pytest.approx(scores[7])


@given(answers(), st.integers(0, 100))
def test_the_order_of_texts_does_not_matter(found: Answers, seed: int) -> None:
    """Of equally sure texts none is first."""
    before, after = coverage_of(found, seed=0), coverage_of(shuffled(found, seed), seed=0)
    assert [p.above for p in before] == [p.above for p in after]
    assert [p.accuracy.value for p in before] == pytest.approx([p.accuracy.value for p in after])


def test_all_texts_have_the_plain_accuracy() -> None:
    """The end of the curve is the figure that everybody knows, with its interval."""
    found = drawn(n=300)
    last = coverage_of(found, seed=0)[-1]
    assert last.accuracy.value == pytest.approx(found.right.mean())
    assert last.accuracy.low < last.accuracy.value < last.accuracy.high


def test_a_curve_without_errors_has_no_spread() -> None:
    """A draw may hold the text that a share ends in several times: only as many count as the share takes."""
    found = single(*(("ham", [0.6 + i / 50, 0.4 - i / 50]) for i in range(15)), labels=PAIR)
    assert {(p.accuracy.low, p.accuracy.high) for p in coverage_of(found, seed=0)} == {(1.0, 1.0)}


def test_slices_hold_every_text_once() -> None:
    """Four parts of about equal size, by length, each with its own figures."""
    lengths = np.arange(1, 201)
    parts = by_length(drawn(n=200), lengths, seed=0)
    assert [(p.shortest, p.longest, p.texts) for p in parts] == [
        (1, 50, 50),
        (51, 100, 50),
        (101, 150, 50),
        (151, 200, 50),
    ]
    weighted = sum(p.accuracy.value * p.texts for p in parts) / 200
    assert weighted == pytest.approx(drawn(n=200).right.mean())


def test_texts_of_one_length_are_one_slice() -> None:
    """Nothing is cut where nothing differs."""
    assert [p.texts for p in by_length(drawn(n=20), np.full(20, 7), seed=0)] == [20]
