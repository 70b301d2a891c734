"""What goes between the worker and its model's process, as frames: token ids there, numbers back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.frames import Frame
from worker.types import Classifier, Predictions, Tokenized

Ids = NDArray[np.int32]


def tokens_frame(tokenized: Tokenized) -> Frame:
    """Of each tokenizer three arrays: windows per text (0: no ids), their lengths, and all ids one after the other.

    Before them what is said of the texts, and what is to be added to logits.
    """
    width = next((len(ids) for ids in tokenized.ids if ids is not None), 0)
    header = {
        "errors": list(tokenized.errors.items()),
        "generation": tokenized.generation,
        "added": list(tokenized.added),
    }
    columns = (_flat(tokenized.ids, k) for k in range(width))
    said = (tokenized.lengths, tokenized.windows, tokenized.truncated)
    return Frame(header, (*said, *tokenized.added.values(), *chain.from_iterable(columns)))


def tokens_of(frame: Frame) -> Tokenized:
    """The ids lie in the frame: read-only, no copies."""
    lengths, windows, truncated, *more = frame.arrays
    names = frame.header["added"]
    added, flat = dict(zip(names, more, strict=False)), more[len(names) :]
    columns = [_windows(*flat[k : k + 3]) for k in range(0, len(flat), 3)]
    ids = [None if None in each else each for each in zip(*columns, strict=True)] if columns else [None] * len(lengths)
    errors = dict(frame.header["errors"])
    return Tokenized(ids, lengths, windows, truncated, errors, frame.header["generation"], added)


def predictions_frame(predictions: Predictions) -> Frame:
    header = {
        "forward_s": predictions.forward_s,
        "padding_share": predictions.padding_share,
        "failed": list(predictions.failed.items()),
    }
    return Frame(header, (*predictions.scores, predictions.embeddings))


def predictions_of(frame: Frame, classifiers: tuple[Classifier, ...]) -> Predictions:
    """Scores and embeddings lie in the frame: read-only, no copies."""
    *scores, embeddings = frame.arrays
    header = frame.header
    return Predictions(
        classifiers=classifiers,
        scores=tuple(scores),
        embeddings=embeddings,
        forward_s=header["forward_s"],
        padding_share=header["padding_share"],
        failed=dict(header["failed"]),
    )


def _flat(ids: Sequence[Any], k: int) -> tuple[Ids, Ids, Ids]:
    each: list[Sequence[Ids]] = [() if text is None else text[k] for text in ids]
    windows = list(chain.from_iterable(each))
    flat = np.concatenate(windows) if windows else np.zeros(0, np.int32)
    return _lengths(each), _lengths(windows), flat


def _lengths(of: Sequence[Any]) -> Ids:
    return np.fromiter(map(len, of), np.int32, len(of))


def _windows(counts: Ids, lengths: Ids, flat: Ids) -> Iterator[tuple[Ids, ...] | None]:
    """The windows of each text, None where it has none."""
    ends = np.cumsum(lengths, dtype=np.int64)
    windows = (flat[begin:end] for begin, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True))
    return (tuple(islice(windows, count)) or None for count in counts.tolist())
