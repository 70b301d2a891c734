"""The words of an explanation: as a person would point at them, whatever the tokenizer makes of a text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.model.words import Piece, words_of

CASES = {
    "one piece a word": ("win now", [(0, 3, 0), (4, 7, 1)], ["win", "now"]),
    "pieces of a word": ("winning now", [(0, 3, 0), (3, 7, 0), (8, 11, 1)], ["winning", "now"]),
    "marks apart": ("now!", [(0, 3, 0), (3, 4, 1)], ["now", "!"]),
    "blanks counted to a word": ("win now", [(0, 3, 0), (3, 7, 1)], ["win", "now"]),
    "a blank of its own": ("win  now", [(0, 3, 0), (3, 4, 1), (4, 8, 2)], ["win", "now"]),
    "one word for a whole text": ("win it now", [(0, 3, 0), (3, 6, 0), (6, 10, 0)], ["win", "it", "now"]),
    "bytes of a character": ("a €", [(0, 1, 0), (2, 3, 1), (2, 3, 1), (2, 3, 1)], ["a", "€"]),
    "characters of Chinese": ("发票", [(0, 1, 0), (1, 2, 1)], ["发", "票"]),
}


@pytest.mark.parametrize(("text", "pieces", "expected"), CASES.values(), ids=CASES)
def test_words_are_put_together(text, pieces, expected):
    """Tokens of a word are one; punctuation and Chinese characters stand alone."""
    words = words_of(text, [Piece(*piece) for piece in pieces], all_of_it=False)
    assert [text[start:end] for start, end in words.spans if end > start] == expected


def test_what_no_token_is_of_has_words_too():
    """Characters are read where the model's tokens end: each token still belongs to its own word."""
    text = "one two three four"
    words = words_of(text, [Piece(4, 7, 0), Piece(8, 11, 1), Piece(11, 13, 1)], all_of_it=True)
    assert [text[start:end] for start, end in words.spans] == ["one", "two", "three", "four"]
    assert words.owners == [1, 2, 2]


@given(st.text("ab ,\n", max_size=20), st.data(), st.booleans())
def test_every_token_has_a_word(text, data, all_of_it):
    """However a text is cut: words are in its order, apart from each other, and none has a blank within."""
    blanks = {i for i, character in enumerate(text) if character.isspace() and i}
    ends = sorted(data.draw(st.sets(st.integers(1, max(len(text), 1)), max_size=8)) | blanks)
    pieces = [Piece(a, b, data.draw(st.integers(0, 3))) for a, b in zip([0, *ends], ends, strict=False)]
    words = words_of(text, pieces, all_of_it=all_of_it)
    assert len(words.owners) == len(pieces)
    assert all(0 <= owner < len(words.spans) for owner in words.owners)
    filled = [span for span in words.spans if span[1] > span[0]]
    assert all(one[1] <= other[0] for one, other in pairwise(filled))
    assert not any(character.isspace() for start, end in filled for character in text[start:end])
    if all_of_it:
        assert sum(end - start for start, end in filled) == len("".join(text.split()))
