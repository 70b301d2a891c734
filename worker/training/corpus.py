"""Labelled texts as training and evaluation see them, however they came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "valid", "test"]
Kind = Literal["single", "multi"]


@dataclass(frozen=True, slots=True)
class Example:
    """A text and its labels: one of `single` data, any number of `multi`."""

    text: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """All examples, by split. `labels` in a fixed order; `dropped` counts what was left out, by reason.

    `fingerprint` changes with any text, label or split.
    """

    kind: Kind
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    valid: tuple[Example, ...]
    test: tuple[Example, ...]
    dropped: Mapping[str, int]
    fingerprint: str
