"""What a format's reader makes of the bytes of one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Content(NamedTuple):
    """A text and what came with it. `charset_guessed`: the bytes were not declared, or declared wrongly."""

    text: str
    id: str | None = None
    language: str | None = None
    metadata: Mapping[str, Any] | None = None
    charset: str = "utf-8"
    charset_guessed: bool = False


Read = Callable[[bytes], Content]
"""Raises `Skip` for what the format cannot be; pure, any thread."""
