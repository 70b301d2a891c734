"""Parts of a batch between the stages: by tokens, ahead of the model; halves, where that took too long; and its head,
where a delivery got so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from worker.pipeline import Inferred
from worker.types import Assignments, Message, Predictions, Prepared, Tokenized


def cut_to_tokens(prepared: Prepared, most: int) -> list[Prepared]:
    """Parts of at most so many tokens each, or of one record that has more."""
    lengths = iter(prepared.tokenized.lengths.tolist())
    of_record = [next(lengths) if isinstance(d, Message) else 0 for d in prepared.decoded]
    if sum(of_record) <= most:
        return [prepared]
    parts, tokens, begin = [], 0, 0
    for index, length in enumerate(of_record):
        if tokens + length > most and index > begin:
            parts.append((begin, index))
            tokens, begin = 0, index
        tokens += length
    parts.append((begin, len(of_record)))
    return list(_slices(prepared, parts))


def halves(prepared: Prepared) -> list[Prepared]:
    """Two parts with a text at least each, of a batch with two."""
    texts = [index for index, decoded in enumerate(prepared.decoded) if isinstance(decoded, Message)]
    middle = texts[len(texts) // 2]
    return list(_slices(prepared, [(0, middle), (middle, len(prepared.decoded))]))


def head(inferred: Inferred, records: int) -> Inferred:
    """All that is known of the first so many records."""
    if records == len(inferred.prepared.decoded):
        return inferred
    (prepared,) = _slices(inferred.prepared, [(0, records)])
    texts = len(prepared.messages)
    return Inferred(
        prepared, _first_predictions(inferred.predictions, texts), _first_assignments(inferred.assignments, texts)
    )


def _first_predictions(predictions: Predictions, texts: int) -> Predictions:
    return replace(
        predictions,
        scores=tuple(scores[:texts] for scores in predictions.scores),
        embeddings=predictions.embeddings[:texts],
        failed={i: why for i, why in predictions.failed.items() if i < texts},
    )


def _first_assignments(assignments: Assignments, texts: int) -> Assignments:
    return replace(assignments, ids=assignments.ids[:texts], similarity=assignments.similarity[:texts])


def _slices(prepared: Prepared, spans: Sequence[tuple[int, int]]) -> Iterator[Prepared]:
    rest, message = prepared.batch, 0
    for begin, end in spans:
        batch, rest = rest.cut(end - begin) if end < len(prepared.decoded) else (rest, rest)
        decoded = prepared.decoded[begin:end]
        texts = sum(isinstance(d, Message) for d in decoded)
        yield Prepared(batch, decoded, _slice(prepared.tokenized, message, message + texts))
        message += texts


def _slice(tokenized: Tokenized, begin: int, end: int) -> Tokenized:
    return replace(
        tokenized,
        ids=tokenized.ids[begin:end],
        lengths=tokenized.lengths[begin:end],
        windows=tokenized.windows[begin:end],
        truncated=tokenized.truncated[begin:end],
        errors={i - begin: why for i, why in tokenized.errors.items() if begin <= i < end},
        added={name: logits[begin:end] for name, logits in tokenized.added.items()},
    )
