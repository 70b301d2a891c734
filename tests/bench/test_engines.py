"""Engines to measure with."""

from __future__ import annotations

import numpy as np
import pytest

from tests.doubles import FakeEngine
from worker.bench.engines import FirstOfEach, StandIn, TimedEngine
from worker.policy.routes import Policy, decide_batch
from worker.types import Engine

TEXTS = [f"text number {i}" for i in range(7)]


def test_a_timed_engine_says_the_same_and_notes_each_pass() -> None:
    """Sizes and times of passes over texts; a batch without any is none."""
    timed = TimedEngine(FakeEngine())
    for texts in (TEXTS, [], TEXTS[:2]):
        timed.infer(timed.tokenize(texts))
    assert timed.sizes == [7, 2]
    assert len(timed.forward_s) == 2
    assert timed.began_s is not None
    assert timed.classifiers == FakeEngine().classifiers


@pytest.mark.parametrize("count", [0, 1, 3, 7])
def test_first_of_each_computes_few_and_answers_for_all(count: int) -> None:
    """Every text has a row; those of the first two are the engine's own."""
    whole, few = FakeEngine(), FirstOfEach(FakeEngine(), 2)
    expected = whole.infer(whole.tokenize(TEXTS[:count]))
    found = few.infer(few.tokenize(TEXTS[:count]))
    assert found.embeddings.shape == expected.embeddings.shape
    assert found.scores[0].shape == expected.scores[0].shape
    np.testing.assert_array_equal(found.embeddings[:2], expected.embeddings[:2])


@pytest.mark.parametrize("engine", [StandIn(), TimedEngine(StandIn()), FirstOfEach(StandIn(), 2)])
def test_the_stand_in_labels_every_text(engine: Engine) -> None:
    """Its results go the way of real ones."""
    predictions = engine.infer(engine.tokenize(TEXTS))
    labels = [decision.label for decision in decide_batch(Policy("out"), predictions, 0.5)]
    assert labels == ["four"] * len(TEXTS)
