"""Texts to token ids, a batch at a time in Rust; one text can never fail another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from worker.types import Tokenized

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TokensRecipe:
    """A tokenizer, whole: `backend` is what `tokenizers.Tokenizer.to_str` gives. Equal recipes give equal ids.

    `max_length` counts special tokens too. `overlap` None cuts longer texts off on the far `side`; a number gives
    windows that share so many tokens, all of the text. `prompt` goes before each of them.
    """

    backend: str
    max_length: int
    side: str
    prompt: str
    lowercase: bool
    overlap: int | None = None


class Tokens:
    """Tokenises for one model. The prepare thread only."""

    def __init__(self, recipe: TokensRecipe) -> None:
        backend = Tokenizer.from_str(recipe.backend)
        backend.no_padding()  # a tokenizer.json may ask for it (MiniLM's does)
        backend.no_truncation()
        self._recipe = recipe
        self._backend = backend
        self._cuts = None if recipe.overlap is None else _cuts(backend, recipe, recipe.overlap)
        if self._cuts is None:
            backend.enable_truncation(recipe.max_length, direction=recipe.side)

    def __call__(self, texts: Sequence[str]) -> Tokenized:
        """`ids[i]` is a tuple of windows, int32 each. Never raises for a text; `errors` says why, without text."""
        inputs = [self._recipe.prompt + text for text in texts]
        if self._recipe.lowercase:
            inputs = [text.lower() for text in inputs]
        encodings, error = _attempt(self._backend.encode_batch_fast, inputs)
        if error is None:
            return self._tokenized(encodings, {})
        return self._one_by_one(inputs)

    def _one_by_one(self, inputs: Sequence[str]) -> Tokenized:
        outcomes = [_attempt(self._backend.encode_batch_fast, [text]) for text in inputs]
        errors = {i: f"tokenizer: {error}" for i, (_, error) in enumerate(outcomes) if error is not None}
        return self._tokenized([None if error is not None else done[0] for done, error in outcomes], errors)

    def _tokenized(self, encodings: Sequence[Any], errors: dict[int, str]) -> Tokenized:
        ids = [None if encoding is None else self._windows(encoding) for encoding in encodings]
        for i, windows in enumerate(ids):
            if windows is not None and not len(windows[0]):
                ids[i], errors[i] = None, "tokenizer: no tokens"
        cut = [self._cuts is None and encoding is not None and bool(encoding.overflowing) for encoding in encodings]
        return Tokenized(
            ids=ids,
            lengths=np.array([0 if windows is None else sum(map(len, windows)) for windows in ids], np.int32),
            windows=np.array([0 if windows is None else len(windows) for windows in ids], np.int32),
            truncated=np.array(cut, np.bool_),
            errors=errors,
        )

    def _windows(self, encoding: Any) -> tuple[Ids, ...]:
        ids = np.asarray(encoding.ids, np.int32)
        if self._cuts is None or len(ids) <= self._recipe.max_length:
            return (ids,)
        return self._cuts.windows(ids)


@dataclass(frozen=True, slots=True)
class Cuts:
    """How a text is cut: `before` tokens (special ones and the prompt) and `behind` are in each window of it.

    Between them are `room` tokens; each window begins `step` tokens after the one before.
    """

    before: int
    behind: int
    room: int
    step: int

    def windows(self, ids: Ids) -> tuple[Ids, ...]:
        end = len(ids) - self.behind
        starts = range(self.before, max(self.before + 1, end - (self.room - self.step)), self.step)
        middles = [ids[start : min(start + self.room, end)] for start in starts]
        return tuple(np.concatenate([ids[: self.before], middle, ids[end:]]) for middle in middles)


def _cuts(backend: Tokenizer, recipe: TokensRecipe, overlap: int) -> Cuts:
    special = backend.encode("a").special_tokens_mask
    lead = special.index(0) if 0 in special else 0
    between = recipe.max_length - sum(special)
    prompt = len(backend.encode(recipe.prompt.rstrip(), add_special_tokens=False).ids)
    prompt = min(prompt, between // 2)  # of a longer one, the text is the better half
    room = max(1, between - prompt)
    return Cuts(lead + prompt, sum(special) - lead, room, room - min(overlap, room // 2))


def merge(each: Sequence[Tokenized]) -> Tokenized:
    """One for an engine of several tokenizers: `ids[i]` is a tuple with each one's windows; facts are the first's."""
    first = each[0]
    together = zip(*(tokenized.ids for tokenized in each), strict=True)
    return Tokenized(
        ids=[None if any(windows is None for windows in ids) else ids for ids in together],
        lengths=first.lengths,
        windows=first.windows,
        truncated=np.logical_or.reduce([tokenized.truncated for tokenized in each]),
        errors={i: why for tokenized in each for i, why in tokenized.errors.items()},
    )


def _attempt(encode: Callable[[Sequence[str]], list[Any]], inputs: Sequence[str]) -> tuple[list[Any], str | None]:
    """Encodings, or the kind of error. Not the error's own text, as it may quote the message."""
    try:
        return encode(inputs), None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in Rust is no `Exception`
        return [], type(error).__name__
