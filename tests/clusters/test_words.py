"""Words of texts that may stand in a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.clusters.words import MAX_CHARACTERS, MAX_LETTERS, MAX_WORDS, words
from worker.text.stopwords import LANGUAGES, stop_words

STOP_WORDS = stop_words(LANGUAGES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The card was refunded, and the CARD is new", ["card", "refunded", "new"]),
        ("Das Paket kam nicht, und es ist zu spät", ["paket", "kam", "spät"]),
        ("La tarjeta no es mía, pero la quiero", ["tarjeta", "mía", "quiero"]),
        ("I don't believe it isn't Zoë's café, I can't", ["believe", "zoë", "café"]),
        ("see https://a.example/secret or www.b.example, me@c.example @someone 0123456", ["see"]),
        ("rock &amp; roll &#101;nd", ["rock", "roll", "end"]),
        ("東京都の天気", ["東京", "京都", "都の", "の天", "天気"]),
        ("我们退款", ["们退", "退款"]),
        ("iPhone電池 bad", ["iphone", "電池", "bad"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया"]),
        ("", []),
        ("a\udcff bc\x00 def", ["def"]),
        ("a" * 31, []),
    ],
    ids=[
        "english",
        "german",
        "spanish",
        "contractions",
        "addresses",
        "entities",
        "no spaces",
        "chinese",
        "mixed",
        "marks",
        "empty",
        "bytes",
        "long",
    ],
)
def test_words_that_may_stand_in_a_name(text, expected):
    """Different words, lower-case, without stop words of any language, numbers and addresses; pairs where there are no
    spaces."""
    assert words(text, STOP_WORDS) == expected


@given(st.text(alphabet=st.characters(), max_size=2000))
def test_words_are_few_and_clean(text):
    """Any text, surrogates and combining characters included, gives a bounded number of different, encodable words."""
    found = words(text)
    assert len(set(found)) == len(found) <= MAX_WORDS
    assert all(word.encode() and len(word) <= MAX_LETTERS for word in found)


def test_words_of_a_huge_text_cost_no_more():
    """Only the first characters are read."""
    assert words("\u0301" * 100_000 + " refund") == []
    assert words("x " * MAX_CHARACTERS + "refund") == []
