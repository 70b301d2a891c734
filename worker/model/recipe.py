"""What an engine is made of: plain values, as the settings name them; they travel to the model's process as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import orjson
from pydantic import TypeAdapter

Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]
WindowPooling = Literal["mean", "max"]


@dataclass(frozen=True, slots=True)
class ClassifierRecipe:
    """A classifier from a directory, hub id or packaged model. `labels` renames those of the model."""

    name: str
    path: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ZeroShotRecipe:
    """A classifier without training data: `labels` maps each label to texts that describe it or are examples of it."""

    name: str
    labels: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Windows:
    """How texts longer than the model's longest are read: cut off, or in windows that share `overlap` tokens."""

    overlap: int | None = None  # None: cut off
    pooling: WindowPooling = "mean"


@dataclass(frozen=True, slots=True)
class EngineRecipe:
    """All of it. `encoder` gives the embeddings; None: the base that the first classifier was trained from.

    Where no embedding is kept (`lasting` false), it is what the first classifier stands on, which costs no pass more.
    `max_batch_tokens` 0 chooses by the device; `threads` 0 is the CPU quota. `evaluation` is a JSON-lines file of texts
    with their labels, on which int8 states its loss.
    """

    classifiers: tuple[ClassifierRecipe, ...] = ()
    zero_shot: tuple[ZeroShotRecipe, ...] = ()
    encoder: str | None = None
    lasting: bool = True
    windows: Windows = Windows()
    device: str = "auto"
    dtype: Precision = "auto"
    evaluation: str | None = None
    max_batch_tokens: int = 0
    threads: int = 0
    allow_download: bool = False

    def to_json(self) -> bytes:
        return orjson.dumps(self)

    @classmethod
    def from_json(cls, content: bytes) -> EngineRecipe:
        return TypeAdapter(cls).validate_json(content)
