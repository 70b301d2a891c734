"""What a format's reader makes of the bytes of one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple


class Content(NamedTuple):
    """A text and what came with it. `charset_guessed`: the bytes were not declared, or declared wrongly.

    `timestamp` is when the text was written, always with an offset.
    """

    text: str
    id: str | None = None
    language: str | None = None
    metadata: Mapping[str, Any] | None = None
    charset: str = "utf-8"
    charset_guessed: bool = False
    timestamp: datetime | None = None


Read = Callable[[bytes], Content]
"""Raises `Skip` for what the format cannot be; pure, any thread."""
