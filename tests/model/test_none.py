"""The engine without a model."""

from worker.model.none import NoModel


def test_it_gives_nothing_for_each_text() -> None:
    """No classifiers, embeddings of no width, no errors."""
    engine = NoModel()
    tokenized = engine.tokenize(["a", "b"])
    found = engine.infer(tokenized)
    assert (found.classifiers, found.scores, found.embeddings.shape) == ((), (), (2, 0))
    assert not tokenized.errors
    assert tokenized.windows.tolist() == [1, 1]
