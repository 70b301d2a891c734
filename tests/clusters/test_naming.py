"""Words of texts, and names of clusters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.clusters import naming
from worker.clusters.naming import Naming, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The card was refunded, and the CARD is new", ["card", "refunded", "new"]),
        ("I don't think it isn't Zoë's café", ["think", "zoë", "café"]),
        ("see https://a.example/secret or www.b.example, me@c.example @someone 0123456", []),
        ("rock &amp; roll &#101;nd", ["rock", "roll", "end"]),
        ("Das Paket kam zu spät", ["das", "paket", "kam", "spät"]),
        ("東京都の天気", ["東京", "京都", "都の", "の天", "天気"]),
        ("iPhone電池 bad", ["iphone", "電池", "bad"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया"]),
        ("", []),
        ("a\udcff bc\x00 def", ["def"]),
        ("a" * 31, []),
    ],
    ids=[
        "stop words",
        "contractions",
        "addresses",
        "entities",
        "german",
        "no spaces",
        "mixed",
        "marks",
        "empty",
        "bytes",
        "long",
    ],
)
def test_words_that_may_stand_in_a_name(text, expected):
    """Different words, lower-case, without stop words, numbers and addresses; pairs where there are no spaces."""
    assert words(text) == expected


@given(st.text(alphabet=st.characters(), max_size=2000))
def test_words_are_few_and_clean(text):
    """Any text, surrogates and combining characters included, gives a bounded number of different, encodable words."""
    found = words(text)
    assert len(set(found)) == len(found) <= naming.MAX_WORDS
    assert all(word.encode() and len(word) <= naming.MAX_LETTERS for word in found)


def test_words_of_a_huge_text_cost_no_more():
    """Only the first characters are read."""
    assert words("\u0301" * 100_000 + " refund") == []
    assert words("x " * naming.MAX_CHARACTERS + "refund") == []


def test_typical_words_come_first():
    """A word that every cluster has stands behind those that only one has."""
    names = Naming(clusters=2)
    names.add(np.array([0, 1] * 20), [["order", "refund"], ["order", "parcel"]] * 20)
    assert names.names() == ["refund, order", "parcel, order"]


def test_no_word_from_fewer_than_five_messages():
    """What only four messages of a cluster say is not shown; with the fifth it is."""
    names = Naming(clusters=1)
    names.add(np.zeros(4, dtype=np.intp), [["secret"]] * 4)
    assert names.names() == [None]
    names.add(np.zeros(1, dtype=np.intp), [["secret"]])
    assert names.names() == ["secret"]


def test_names_follow_the_topic():
    """Recent messages count more: a name changes with what its cluster is about."""
    names = Naming(clusters=1)
    names.add(np.zeros(4000, dtype=np.intp), [["old"]] * 4000)
    for _ in range(20):
        names.add(np.zeros(1000, dtype=np.intp), [["new"]] * 160 + [[]] * 840)  # 3,200 in all, but later
    assert names.names() == ["new, old"]


def test_the_vocabulary_is_bounded():
    """Ever new words push out rare ones, not those that a cluster is named by."""
    names = Naming(clusters=2)
    labels = np.array([0, 1] * 500)
    for turn in range(20):
        names.add(labels, [["refund" if i % 2 else "parcel", f"rare{turn}x{i}"] for i in range(1000)])
    assert names.names() == ["parcel", "refund"]
    assert len(names._columns) <= naming.VOCABULARY


def test_without_words_there_are_no_names():
    """Clusters of texts without words stay nameless."""
    names = Naming(clusters=2)
    names.add(np.array([0, 1]), [[], []])
    assert names.names() == [None, None]
