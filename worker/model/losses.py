"""What a lower precision costs, measured at load on the user's own labelled texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from worker.errors import SettingsError
from worker.model.engine import TransformersEngine
from worker.types import PrecisionLoss

log = structlog.get_logger(__name__)

MOST_TEXTS = 2000  # of the evaluation set, the first ones: a minute at most, and a percent is told apart


class Example(BaseModel):
    """One line of an evaluation set; other fields are passed over."""

    model_config = ConfigDict(frozen=True, strict=True)

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Answers:
    """Of n texts: the label numbers of each classifier int [n], and the embeddings float32 [n, d]."""

    labels: tuple[NDArray[np.intp], ...]
    embeddings: NDArray[np.float32]


def read_examples(path: str | None) -> list[Example]:
    """The first `MOST_TEXTS` of an evaluation set in JSON lines. Raises `SettingsError`, without any text of it."""
    if path is None:
        raise SettingsError(
            "model.dtype int8 loses accuracy: set model.evaluation to a JSON-lines file of texts with their labels,"
            " on which the loss is measured, or use float32"
        )
    examples: list[Example] = []
    try:
        with Path(path).open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if len(examples) == MOST_TEXTS:
                    break
                if line.strip():
                    examples.append(_example(line, f"model.evaluation {path}, line {number}"))
    except OSError as error:
        raise SettingsError(f"model.evaluation {path}: {error.strerror}") from None
    if not examples:
        raise SettingsError(f"model.evaluation {path} is empty; it needs JSON lines with text and label")
    return examples


def answers(engine: TransformersEngine, examples: Sequence[Example]) -> Answers:
    """What an engine makes of the texts. Raises `SettingsError` where it cannot tell their labels."""
    if not engine.classifiers:
        raise SettingsError("model.dtype int8 states its loss on labels, and there is no classifier; use float32")
    known = engine.classifiers[0].labels
    strange = next((example.label for example in examples if example.label not in known), None)
    if strange is not None:
        raise SettingsError(f"model.evaluation has the label {strange!r}; the model has: {', '.join(known)}")
    predictions = engine.infer(engine.tokenize([example.text for example in examples]))
    return Answers(tuple(scores.argmax(axis=1) for scores in predictions.scores), predictions.embeddings)


def loss_of(before: Answers, after: Answers, engine: TransformersEngine, examples: Sequence[Example]) -> PrecisionLoss:
    """Says in one log line what `after` has lost against `before`."""
    known = engine.classifiers[0].labels
    true = np.array([known.index(example.label) for example in examples])
    equal = np.logical_and.reduce([a == b for a, b in zip(before.labels, after.labels, strict=True)])
    loss = PrecisionLoss(
        texts=len(examples),
        accuracy_float32=float((before.labels[0] == true).mean()),
        accuracy=float((after.labels[0] == true).mean()),
        agreement=float(equal.mean()),
        cosine=float((before.embeddings * after.embeddings).sum(axis=1).mean()),
    )
    log.info("precision_loss", dtype=engine.place[1], **{name: getattr(loss, name) for name in loss.__slots__})
    return loss


def _example(line: bytes, where: str) -> Example:
    try:
        return Example.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        problem = f"{field}: {first['msg']}" if field else "is no JSON object"
        raise SettingsError(f"{where}: {problem}; each line needs a text and a label") from None
