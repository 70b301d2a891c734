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
_CELLS = frozenset(("td", "th"))
_QUOTE_BEGINS, _QUOTE_ENDS = "\x02", "\x03"  # no markup may hold them, and no reference gives them
_TOO_LONG_REFERENCE = re.compile(r"&#\d{8,};?")  # no character has so many digits, and int() refuses thousands


def to_lines(markup: str) -> str:
    """The visible text, one line for each block, one space between words; quoted lines (`blockquote`) begin with `>`.

    Elements that end a word (all but inline ones) part them. A text without any tag keeps its lines and spaces.
    """
    if "<" not in markup or _MARKUP.search(markup) is None:
        return _resolved(markup)
    flat = " ".join(markup.replace(_QUOTE_BEGINS, "").replace(_QUOTE_ENDS, "").split())
    lines: list[str] = []
    depth = 0
    for line in _resolved(_MARKUP.sub(_in_place_of, flat)).split("\n"):
        depth = max(0, depth + line.count(_QUOTE_BEGINS) - line.count(_QUOTE_ENDS))
        words = " ".join(line.strip(_QUOTE_BEGINS + _QUOTE_ENDS).split())
        if words:
            lines.append(f"> {words}" if depth else words)
    return "\n".join(lines)


def _resolved(text: str) -> str:
    return html.unescape(_TOO_LONG_REFERENCE.sub("\ufffd", text)) if "&" in text else text


def _in_place_of(match: re.Match[str]) -> str:
    name = (match[2] or match[3] or "").lower()
    if name == "blockquote":
        return f"\n{_QUOTE_ENDS if match[0].startswith('</') else _QUOTE_BEGINS}\n"
    if not name or name in _CELLS:
        return " "
    return "" if name in _INLINE else "\n"
