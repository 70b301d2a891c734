"""Normal forms are those of Unicode, and no pile of marks holds a worker up."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.text import normal
from worker.text.normal import Form, is_mark, normalize

FORMS: tuple[Form, ...] = ("NFC", "NFKC")


@pytest.mark.parametrize("form", FORMS)
@given(text=st.text(max_size=30))
def test_as_unicode_says(form: Form, text: str) -> None:
    """A text of any language gets the normal form of the standard."""
    assert normalize(text, form) == unicodedata.normalize(form, text)


def test_marks_beyond_any_language_are_left_out() -> None:
    """A character keeps its first 30 marks; what comes after them stays."""
    assert normalize("q" + "\u0323" * 1000 + "x", "NFC") == "q" + "\u0323" * 30 + "x"


@pytest.mark.parametrize("marks", ["\u0300\u0316", "\uff9e\u0300", "\u0345\u0327\u05b0"])
@pytest.mark.parametrize("form", FORMS)
def test_a_pile_of_marks_is_no_bomb(form: Form, marks: str) -> None:
    """A megabyte of marks on one letter comes to an end; sorting them would take minutes."""
    assert len(normalize("a" + marks * (500_000 // len(marks)), form)) < 100


def test_every_mark_is_looked_at() -> None:
    """Whatever this Python knows as a combining mark is counted, so that new versions of Unicode open no hole."""
    marks = [c for c in map(chr, range(0x80, sys.maxunicode + 1)) if is_mark(c)]
    assert len(marks) > 900
    missed = [c for c in marks if not (normal._WITH_MARKS.fullmatch(c * 31) and normal._MAYBE_MARKS.fullmatch(c * 31))]
    assert missed == []
