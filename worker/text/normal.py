"""Unicode normal forms, in time linear in the text whatever the sender piles up.

Python sorts the combining marks of one character by insertion: 40,000 of them take over a second. Unicode's
stream-safe format (UAX #15) holds that no word of any language has more than 30, so the rest is left out first.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

Form = Literal["NFC", "NFKC"]

_MAX_MARKS = 30
# The scripts that have combining marks, and those alone cost the second look.
_WITH_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u1cff\u1dc0-\u1dff\u20d0-\u20ff\u2cef-\u2df0\u2de0-\u2dff\u302a-\u302f\u3099\u309a"
    f"\ua66f-\uabed\ufb1e\ufe20-\ufe2f\uff9e\uff9f\U000101fd-\U0001e94a]{{{_MAX_MARKS + 1},}}"
)
# Every combining mark is here, and much that is none; the half-width voicing marks become ones under NFKC.
_MAYBE_MARKS = re.compile(rf"(?:[^\w\s\x00-\x7f]|[\uff9e\uff9f]){{{_MAX_MARKS + 1},}}")


def normalize(text: str, form: Form) -> str:
    """The text in a normal form, the same one in every version of Unicode that knows its characters."""
    if text.isascii():
        return text
    if _WITH_MARKS.search(text):
        text = _MAYBE_MARKS.sub(_with_few_marks, text)
    return unicodedata.normalize(form, text)


def _with_few_marks(run: re.Match[str]) -> str:
    kept: list[str] = []
    marks = 0
    for character in run[0]:
        marks = marks + 1 if is_mark(character) else 0
        if marks <= _MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def is_mark(character: str) -> bool:
    """Whether a character joins the one before it, now or once it is decomposed."""
    return unicodedata.combining(unicodedata.normalize("NFKD", character)[0]) != 0
