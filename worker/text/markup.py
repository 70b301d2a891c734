"""HTML to text, in time linear in its length whatever the sender nests.

A real HTML parser is quadratic in open elements and in attributes: 200,000 `<div>` took one over a minute.
"""

from __future__ import annotations

import html
import re

# Each alternative stops at the next `<` or swallows the rest, so that nothing is scanned twice.
_MARKUP = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<(script|style|title|template)\b.*?(?:</\1\b[^<>]*+>|\Z)"
    r"|</?([a-z][a-z0-9]*+)(?:[^<>\"']++|\"[^\"<]*+\"|'[^'<]*+')*+>"  # `>` within quotes belongs to the tag
    r"|</?([a-z][a-z0-9]*+)[^<>]*+>"  # quotes that do not match
    r"|<[!?][^<>]*+>",
    re.DOTALL | re.IGNORECASE,
)
_INLINE = frozenset(
    (
        "a",
        "abbr",
        "b",
        "big",
        "code",
        "em",
        "font",
        "i",
        "label",
        "mark",
        "q",
        "s",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "tt",
        "u",
        "wbr",
    )
)
_TOO_LONG_REFERENCE = re.compile(r"&#\d{8,};?")  # no character has so many digits, and int() refuses thousands


def strip_tags(markup: str) -> str:
    """The visible text, one space between words; elements that end a word (all but inline ones) part them."""
    text = _MARKUP.sub(_in_place_of, markup)
    return " ".join(html.unescape(_TOO_LONG_REFERENCE.sub("\ufffd", text)).split())


def _in_place_of(match: re.Match[str]) -> str:
    name = match[2] or match[3]
    return "" if name and name.lower() in _INLINE else " "
