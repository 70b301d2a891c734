"""Texts to token ids, a batch at a time in Rust; one text can never fail another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from worker.types import Tokenized


class Tokens:
    """Tokenises for one model. The prepare thread only.

    `backend` is a `tokenizers.Tokenizer` of our own: truncation and padding are set on it.
    """

    def __init__(self, *, backend: Any, max_length: int, side: str, prompt: str, lowercase: bool) -> None:
        backend.enable_truncation(max_length, direction=side)  # counts special tokens too
        backend.no_padding()  # a tokenizer.json may ask for it (MiniLM's does)
        self._backend = backend
        self._prompt = prompt
        self._lowercase = lowercase

    def __call__(self, texts: Sequence[str]) -> Tokenized:
        """Never raises for a text; `errors` says why, without text."""
        inputs = [self._prompt + (text.lower() if self._lowercase else text) for text in texts]
        encodings, error = _attempt(self._backend.encode_batch_fast, inputs)
        if error is None:
            return _tokenized(encodings, {})
        return self._one_by_one(inputs)

    def _one_by_one(self, inputs: Sequence[str]) -> Tokenized:
        outcomes = [_attempt(self._backend.encode_batch_fast, [text]) for text in inputs]
        errors = {i: f"tokenizer: {error}" for i, (_, error) in enumerate(outcomes) if error is not None}
        return _tokenized([None if error is not None else done[0] for done, error in outcomes], errors)


def _attempt(encode: Callable[[Sequence[str]], list[Any]], inputs: Sequence[str]) -> tuple[list[Any], str | None]:
    """Encodings, or the kind of error. Not the error's own text, as it may quote the message."""
    try:
        return encode(inputs), None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in Rust is no `Exception`
        return [], type(error).__name__


def _tokenized(encodings: Sequence[Any], errors: dict[int, str]) -> Tokenized:
    ids = [None if encoding is None else np.asarray(encoding.ids, np.int32) for encoding in encodings]
    for i, row in enumerate(ids):
        if row is not None and not len(row):
            ids[i], errors[i] = None, "tokenizer: no tokens"
    return Tokenized(
        ids=ids,
        lengths=np.array([0 if row is None else len(row) for row in ids], np.int32),
        windows=np.array([row is not None for row in ids], np.int32),
        truncated=np.array([encoding is not None and bool(encoding.overflowing) for encoding in encodings], np.bool_),
        errors=errors,
    )
