"""What goes to the model's process and comes back is what was sent."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worker.frames import Frame
from worker.model.wire import predictions_frame, predictions_of, tokens_frame, tokens_of
from worker.types import Classifier, Predictions, Tokenized

WINDOW = st.lists(st.integers(0, 30_000), min_size=1, max_size=4).map(lambda ids: np.array(ids, np.int32))
TEXT = st.lists(WINDOW, min_size=1, max_size=3).map(tuple)


@st.composite
def tokenized(draw: Any) -> Tokenized:
    """Up to six texts of one to three tokenizers; some could not be tokenised."""
    tokenizers = draw(st.integers(1, 3))
    ids = draw(st.lists(st.none() | st.tuples(*[TEXT] * tokenizers), max_size=6))
    firsts = [() if each is None else each[0] for each in ids]
    return Tokenized(
        ids=ids,
        lengths=np.array([sum(map(len, windows)) for windows in firsts], np.int32),
        windows=np.array([len(windows) for windows in firsts], np.int32),
        truncated=np.array([bool(len(windows) % 2) for windows in firsts], np.bool_),
        errors={i: "tokenizer: why" for i, each in enumerate(ids) if each is None},
        generation=draw(st.integers(0, 9)),
        added={name: np.full((len(ids), 2), 0.5, np.float32) for name in draw(st.sets(st.sampled_from("ab")))},
    )


def listed(ids: Any) -> Any:
    return [each and tuple(tuple(window.tolist() for window in windows) for windows in each) for each in ids]


@given(tokenized())
def test_tokens_survive_the_way(sent):
    """Every window of every tokenizer, which texts have none, and all that is said of them."""
    back = tokens_of(Frame.from_bytes(tokens_frame(sent).to_bytes()))
    assert listed(back.ids) == listed(sent.ids)
    assert all(window.dtype == np.int32 for each in back.ids if each for windows in each for window in windows)
    for name in ("lengths", "windows", "truncated"):
        np.testing.assert_array_equal(getattr(back, name), getattr(sent, name))
    assert (back.errors, back.generation) == (sent.errors, sent.generation)
    assert list(back.added) == list(sent.added)
    for name, logits in sent.added.items():
        np.testing.assert_array_equal(back.added[name], logits)


@given(st.integers(0, 5), st.lists(st.integers(1, 4), max_size=3))
def test_predictions_survive_the_way(texts, labels):
    """Scores of each classifier, embeddings, times and failures; no texts and no classifiers are possible too."""
    classifiers = tuple(
        Classifier(f"c{i}", "single", tuple(map(str, range(count))), "m", "r") for i, count in enumerate(labels)
    )
    random = np.random.default_rng(0)
    scores = tuple(random.random((texts, count), np.float32) for count in labels)
    embeddings = random.random((texts, 3), np.float32)
    failed = dict.fromkeys(range(0, texts, 2), "forward pass: why")
    sent = Predictions(classifiers, scores, embeddings, 0.1234567891, 1 / 3, failed)
    back = predictions_of(Frame.from_bytes(predictions_frame(sent).to_bytes()), classifiers)
    for one, other in zip((*back.scores, back.embeddings), (*scores, embeddings), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(back.scores) == len(labels)
    assert (back.classifiers, back.forward_s, back.padding_share, back.failed) == (
        (classifiers, sent.forward_s, sent.padding_share, failed)
    )
