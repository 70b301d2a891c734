"""What an engine says of itself; loads no model's library, so that who uses an engine elsewhere can read it."""

from __future__ import annotations

from dataclasses import dataclass

from worker.model.tokens import TokensRecipe
from worker.types import Classifier, EnginePart, PrecisionLoss


@dataclass(frozen=True, slots=True)
class Offer:
    """What an engine is, apart from its weights: enough for another process to use it. `width` is the embedding's.

    `loss` is what a lower precision costs, where one was asked for. `characters` are the classifiers whose heads read
    the characters of texts as well.
    """

    classifiers: tuple[Classifier, ...]
    encoder: str
    place: tuple[str, str]
    parts: tuple[EnginePart, ...]
    width: int
    tokens: tuple[TokensRecipe, ...]
    loss: PrecisionLoss | None = None
    characters: tuple[str, ...] = ()
