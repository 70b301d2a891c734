"""The texts as a training reads them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.training.corpora import corpus_of
from worker.errors import SettingsError
from worker.text.preparation import Preparation
from worker.training.corpus import Example
from worker.training.job import prepared


def test_texts_are_prepared_splits_are_not() -> None:
    """What a text is prepared to moves it to no other split, and the data keeps its fingerprint."""
    corpus = corpus_of(["a", "b"])
    found = prepared(replace(corpus, valid=(Example("W1 W2", ("a",)),)), Preparation(lowercase=True))
    assert found.valid == (Example("w1 w2", ("a",)),)
    assert (found.train, found.fingerprint) == (corpus.train, corpus.fingerprint)
    assert prepared(corpus, Preparation()) is corpus


def test_what_is_blank_then_is_counted() -> None:
    """A worker would not tag it either."""
    corpus = corpus_of(["a", "b"])
    blank = replace(corpus, test=(*corpus.test, Example("?!", ("a",))), dropped={"no_label": 2})
    found = prepared(blank, Preparation(strip_punctuation=True))
    assert (len(found.test), found.dropped) == (len(corpus.test), {"no_label": 2, "blank_when_prepared": 1})


def test_a_label_that_is_lost_so_is_refused() -> None:
    """Before anything is trained."""
    corpus = corpus_of(["a", "b"])
    texts = tuple(replace(e, text="..") if e.labels == ("b",) else e for e in corpus.train)
    with pytest.raises(SettingsError, match="'b' has no example in the split train"):
        prepared(replace(corpus, train=texts), Preparation(strip_punctuation=True))
