"""What leads to a person or opens a door, found and replaced by the name of its kind: `[email]`, `[phone]`, …"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from worker.errors import SettingsError
from worker.text import numbers
from worker.text.credentials import secrets
from worker.text.masking import EMAIL

Redacted = Literal["emails", "phones", "cards", "ibans", "ips", "secrets"]

# In the order in which they are believed: what one kind has found, a later one does not find again.
WORDS: dict[Redacted, str] = {
    "secrets": "[secret]",
    "emails": "[email]",
    "ibans": "[iban]",
    "cards": "[card]",
    "ips": "[ip]",
    "phones": "[phone]",
}
_SEVERAL_DIGITS = re.compile(r"\d(?:\D{0,3}\d){5}")  # without so many no number is worth a look


class Found(NamedTuple):
    """A place in a text, and the kind of what stands there."""

    start: int
    end: int
    kind: Redacted


@dataclass(frozen=True)
class Redaction:
    """Replaces what `kinds` name in a text. `regions`: ISO codes of countries whose phone numbers lack a country code.

    Pure, any thread; takes time linear in the text. What it writes is not found again. Raises `SettingsError` where a
    library for a kind is missing.
    """

    kinds: tuple[Redacted, ...]
    regions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _ = self._finders

    def __call__(self, text: str) -> str:
        found = self.find(text)
        if not found:
            return text
        pieces, end = [], 0
        for place in found:
            pieces += [text[end : place.start], WORDS[place.kind]]
            end = place.end
        return "".join((*pieces, text[end:]))

    def within(self, value: Any) -> Any:
        """The same for all strings of a JSON value; names of fields stay."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {name: self.within(held) for name, held in value.items()}
        return [self.within(held) for held in value] if isinstance(value, list) else value

    def find(self, text: str) -> list[Found]:
        """All places in order, none of them overlapping."""
        finders = self._finders if _SEVERAL_DIGITS.search(text) else self._without_digits
        taken: list[Found] = []
        for kind, find in finders:
            try:
                taken += [Found(start, end, kind) for start, end in find(text)]
            except Exception:  # one text must not stop the stream: what cannot be searched is masked as a whole
                taken.append(Found(0, len(text), kind))
        return _apart(taken) if len(taken) > 1 else taken

    @cached_property
    def _finders(self) -> tuple[tuple[Redacted, numbers.Find], ...]:
        return tuple((kind, _finder(kind, self.regions)) for kind in WORDS if kind in self.kinds)

    @cached_property
    def _without_digits(self) -> tuple[tuple[Redacted, numbers.Find], ...]:
        return tuple((kind, find) for kind, find in self._finders if kind in ("secrets", "emails", "ips"))


def _apart(taken: list[Found]) -> list[Found]:
    """Where two overlap, one place for both, of the kind that is believed more."""
    rank = {kind: index for index, kind in enumerate(WORDS)}
    apart: list[Found] = []
    for place in sorted(taken):
        if apart and place.start < apart[-1].end:
            last = apart.pop()
            place = Found(last.start, max(last.end, place.end), min(last.kind, place.kind, key=rank.__getitem__))
        apart.append(place)
    return apart


def _finder(kind: Redacted, regions: tuple[str, ...]) -> numbers.Find:
    makers: dict[Redacted, Callable[[], numbers.Find]] = {
        "secrets": lambda: secrets,
        "emails": lambda: _emails,
        "ibans": numbers.ibans,
        "cards": numbers.cards,
        "ips": numbers.addresses,
        "phones": lambda: numbers.phones(regions),
    }
    try:
        return makers[kind]()
    except ImportError as error:
        raise SettingsError(
            f"text.redact: {kind} needs the package {error.name}, which is missing: pip install 'tagstream[text]'"
        ) from None


def _emails(text: str) -> Iterator[numbers.Span]:
    return (match.span() for match in EMAIL.finditer(text)) if "@" in text else iter(())
