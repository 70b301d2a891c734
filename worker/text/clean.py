"""What counts as no text at all."""

from __future__ import annotations

import re

# White space, control characters, and what Unicode calls default-ignorable: nothing that a reader would see.
_VISIBLE = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: empty, or only white space, zero-width and control characters."""
    return _VISIBLE.search(text) is None
