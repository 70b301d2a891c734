"""A text cut into the words that a person would point at: what a tokenizer holds together, and no blank within."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Piece(NamedTuple):
    """A token that came from `text[start:end]`, and the number of the tokenizer's word that it is of."""

    start: int
    end: int
    word: int | None


class Words(NamedTuple):
    """`spans` of a text in its order, and for each piece the place of its word among them."""

    spans: list[tuple[int, int]]
    owners: list[int]


def pieces_of(encoding: Any, prompt: int) -> dict[int, Piece]:
    """By place among the ids, those that are of the text: neither special nor of a prompt of so many characters."""
    each = zip(encoding.offsets, encoding.word_ids, encoding.special_tokens_mask, strict=True)
    return {
        i: Piece(max(start - prompt, 0), end - prompt, word)
        for i, ((start, end), word, special) in enumerate(each)
        if not special and end > prompt
    }


def words_of(text: str, pieces: Sequence[Piece], *, all_of_it: bool) -> Words:
    """Every piece has a word. `all_of_it`: also the words that no piece is of, as where the text was cut off."""
    spans: list[tuple[int, int]] = []
    owners, last = [], None
    for piece in pieces:
        start, end = _trimmed(text, piece.start, piece.end)
        if spans and (_goes_on(text, spans[-1], start, end) and (piece.word == last or start < spans[-1][1])):
            spans[-1] = min(spans[-1][0], start), max(spans[-1][1], end)
        elif spans and spans[-1][0] == spans[-1][1]:  # a blank of its own goes with the word behind it
            spans[-1] = start, end
        else:
            spans.append((start, end))
        owners.append(len(spans) - 1)
        last = piece.word
    if not all_of_it:
        return Words(spans, owners)
    every = sorted({*spans, *_between(text, spans)})
    return Words(every, [every.index(spans[owner]) for owner in owners])


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Byte-level tokenizers count the blank before a word to it."""
    piece = text[start:end]
    kept = piece.strip()
    start += len(piece) - len(piece.lstrip()) if kept else len(piece)
    return start, start + len(kept)


def _goes_on(text: str, before: tuple[int, int], start: int, end: int) -> bool:
    """Tokenizers without words of their own give a whole text one number: a blank ends a word in any case."""
    return not any(character.isspace() for character in text[before[0] : max(start, end)])


def _between(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Words of what no span covers."""
    covered = bytearray(len(text))
    for start, end in spans:
        covered[start:end] = b"\1" * (end - start)
    found: list[tuple[int, int]] = []
    for i, character in enumerate(text):
        if covered[i] or character.isspace():
            continue
        if found and found[-1][1] == i:
            found[-1] = found[-1][0], i + 1
        else:
            found.append((i, i + 1))
    return found
