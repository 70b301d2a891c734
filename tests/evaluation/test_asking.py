"""Putting labelled texts to a model: what does not fit is said first, what cannot be read is counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from worker.errors import SettingsError
from worker.evaluation import asking
from worker.evaluation.answers import Kind
from worker.evaluation.asking import ask, refuse_strangers
from worker.types import Classifier, EnginePart, Predictions, Tokenized

PAIR = ("ham", "spam")


class WordEngine:
    """Says spam of texts with an x; cannot tokenise `?`, cannot compute `!`, gives no number for `%`."""

    classifiers = (Classifier("default", "single", PAIR, "words", "0"),)
    place = ("cpu", "float32")
    encoder = "words"
    parts: tuple[EnginePart, ...] = ()

    def tokenize(self, texts: Sequence[str]) -> Tokenized:
        ones = np.ones(len(texts), np.int32)
        errors = {i: "no tokens" for i, text in enumerate(texts) if text == "?"}
        ids = [None if i in errors else text for i, text in enumerate(texts)]
        return Tokenized(ids, ones, ones, np.zeros(len(texts), np.bool_), errors)

    def infer(self, tokenized: Tokenized) -> Predictions:
        spam = np.array([0.9 if "x" in (text or "") else 0.2 for text in tokenized.ids], np.float32)
        spam[[text == "%" for text in tokenized.ids]] = np.nan
        failed = {i: "no memory" for i, text in enumerate(tokenized.ids) if text == "!"}
        scores = np.stack([1 - spam, spam], axis=1)
        return Predictions(self.classifiers, (scores,), np.zeros((len(spam), 2), np.float32), failed=failed)

    def close(self) -> None: ...


def test_answers_are_in_the_order_of_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Part by part; texts without an answer are left out, and one knows which they were."""
    monkeypatch.setattr(asking, "PART", 2)
    done: list[int] = []
    texts = ["x", "?", "a", "!", "%", "b x"]
    asked = ask(WordEngine(), texts, [["spam"], ["ham"], ["spam"], ["ham"], ["ham"], ["spam"]], done.append)
    assert (asked.places, asked.unread, done) == ((0, 2, 5), 3, [2, 2, 2])
    assert asked.answers.right.tolist() == [True, False, True]
    assert asked.answers.truth[:, 1].tolist() == [True, True, True]
    np.testing.assert_allclose(asked.answers.scores[:, 1], [0.9, 0.2, 0.9], rtol=1e-6)


def test_no_answer_at_all_is_an_error() -> None:
    """One line that says where to look."""
    with pytest.raises(SettingsError, match="column with the text"):
        ask(WordEngine(), ["?", "!"], [["ham"], ["ham"]], lambda done: None)
    with pytest.raises(SettingsError, match="none of 2 texts has a label"):
        ask(WordEngine(), ["a", "b"], [[], []], lambda done: None)


@pytest.mark.parametrize(
    ("kind", "labels", "model_kind", "model_labels", "line"),
    [
        ("single", ("ham", "eggs", "toast"), "single", PAIR, "'eggs' and 1 more, which the model lacks.*: ham, spam"),
        ("multi", PAIR, "single", PAIR, "several labels a text"),
        ("single", PAIR, "single", (), "gives no labels; train"),
    ],
    ids=["unknown label", "several labels", "an encoder"],
)
def test_a_model_that_cannot_be_right_is_refused(
    kind: Kind, labels: tuple[str, ...], model_kind: Kind, model_labels: tuple[str, ...], line: str
) -> None:
    """Before it is loaded."""
    with pytest.raises(SettingsError, match=line):
        refuse_strangers(kind, labels, model_kind, model_labels)


def test_a_model_that_knows_more_is_welcome() -> None:
    """Labels that the data lacks, and independent labels for data with one a text."""
    refuse_strangers("single", ("ham",), "multi", PAIR)
