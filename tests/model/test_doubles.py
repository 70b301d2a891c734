"""The fake engine keeps the promises of the real one, so that tests built on it mean something."""

import numpy as np

from tests.doubles import FakeEngine


def test_the_fake_engine_is_an_engine() -> None:
    """Labels and unit embeddings depend on the text alone; bad texts are one text's problem."""
    engine = FakeEngine(labels=("x", "y", "z"), dim=4, fail_on="boom")
    texts = ["one two", "bad\ud800", "boom", "one two"]
    tokenized = engine.tokenize(texts)
    found = engine.infer(tokenized)
    assert list(tokenized.errors) == [1]
    assert list(found.failed) == [2]
    assert tokenized.lengths.tolist() == [2, 0, 1, 2]
    assert engine.classifiers[0].labels[found.scores[0][0].argmax()] == engine.label_of("one two")
    np.testing.assert_array_equal(found.embeddings[0], found.embeddings[3])
    np.testing.assert_allclose(np.linalg.norm(found.embeddings[[0, 3]], axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(found.scores[0][[0, 3]].sum(axis=1), 1.0, rtol=1e-6)
