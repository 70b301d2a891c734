"""What an engine says of itself; loads no model's library, so that who uses an engine elsewhere can read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.model.characters import CharacterLogits, with_characters
from worker.model.tokens import Tokens, TokensRecipe, merge
from worker.types import Classifier, EnginePart, PrecisionLoss, Tokenized


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


class Offered:
    """The half of an engine that is the same wherever its model computes: what it says of itself, and tokenising."""

    def __init__(self, offer: Offer, characters: Mapping[str, CharacterLogits]) -> None:
        self.offer = offer
        self.characters = dict(characters)
        self._tokens = [Tokens(recipe) for recipe in offer.tokens]

    @property
    def classifiers(self) -> tuple[Classifier, ...]:
        return self.offer.classifiers

    @property
    def encoder(self) -> str:
        return self.offer.encoder

    @property
    def place(self) -> tuple[str, str]:
        return self.offer.place

    @property
    def parts(self) -> tuple[EnginePart, ...]:
        return self.offer.parts

    def tokenize(self, texts: Sequence[str]) -> Tokenized:
        return with_characters(merge([tokens(texts) for tokens in self._tokens]), self.characters, texts)
