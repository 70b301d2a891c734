"""HTML gives its visible text, in time linear in its length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.text.clean import is_blank
from worker.text.markup import to_lines

CASES = {
    "inline_joins": ("bo<b>ld</b>er", "bolder"),
    "blocks_part": ("<p>a</p><p>b</p>c<br>d", "a\nb\nc\nd"),
    "cells": ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
    "quoted": ("a<blockquote>b<p>c<blockquote>d</blockquote>e</blockquote>f", "a\n> b\n> c\n> d\n> e\nf"),
    "quote_never_closed": ("a<blockquote>b</blockquote></blockquote>c<blockquote>d", "a\n> b\nc\n> d"),
    "quote_mark_in_the_text": ("a\x02<p>b &#2;&#3;</p>c", "a\nb\nc"),
    "lines_of_the_source": ("<p>a\n  b</p>\n", "a b"),
    "no_tag": ("a\n b &amp; c", "a\n b & c"),
    "upper_case": ("A<BR>B<SPAN>c</SPAN>", "A\nBc"),
    "script_and_style": ("a<script>if (x < 1) {}</script><style>b {}</style>c", "a c"),
    "comment": ("a<!-- <p>no</p> -->b", "a b"),
    "conditional_comment": ("<!--[if mso]><p>no</p><![endif]-->b", "b"),
    "doctype": ("<!DOCTYPE html><html><head><title>t</title></head><body>b</body></html>", "b"),
    "entities": ("<p>a &lt;b&gt;&nbsp;&eacute;&#233;&#xe9;", "a <b> ééé"),
    "surrogate_reference": ("&#xd800;&#55357;", "\ufffd\ufffd"),
    "endless_reference": ("&#" + "9" * 10_000 + ";", "\ufffd"),
    "quoted_angle": ("<a title=\"a>b\" href='c>d'>e</a>", "e"),
    "unmatched_quote": ('<a title="it>e</a>', "e"),
    "not_a_tag": ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
    "unclosed_comment": ("a<!-- b", "a"),
}


@pytest.mark.parametrize(("markup", "text"), CASES.values(), ids=CASES.keys())
def test_markup(markup: str, text: str) -> None:
    """Tags, comments, scripts and styles go; words stay whole and apart."""
    assert to_lines(markup) == text


BOMBS = ["<div>", "<!--", "<script>", '<a "', "<a b='", "&#1", "<p a=1 ", "<", "</script ", "<b><p></b>", "a" * 9]


@pytest.mark.parametrize("piece", BOMBS)
def test_repetition_is_no_bomb(piece: str) -> None:
    """A megabyte of any one piece comes to an end; quadratic time would take this test minutes."""
    markup = "<" + piece * (1_000_000 // len(piece))
    assert len(to_lines(markup)) <= len(markup)


@given(st.lists(st.sampled_from(["<", ">", "a", "/", '"', "'", "!--", "-->", "script", "&#", "x", "9", ";", " "])))
def test_any_markup_gives_a_text(pieces: list[str]) -> None:
    """Whatever the markup, the text can be encoded and holds no run of white space."""
    text = to_lines("<p>" + "".join(pieces))
    text.encode("utf-8")
    assert "  " not in text


@pytest.mark.parametrize("text", ["", " \t\r\n", "\u200b\u200d", "\ufeff", "\u00ad\u2060", "\0\x1f", "\u3164\ufe0f"])
def test_blank(text: str) -> None:
    """White space, control and zero-width characters show nothing."""
    assert is_blank(text)


@pytest.mark.parametrize("text", ["a", " . ", "\u200bа", "\u0301", "👍", "١", "\0a"])
def test_not_blank(text: str) -> None:
    """One visible character is a text."""
    assert not is_blank(text)
