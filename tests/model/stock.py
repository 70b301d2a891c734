"""What the unchanged transformers classes give, one text at a time: the numbers that the engine has to equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForSequenceClassification

from tests.model.tiny import POSITIONS, tokenizer_of
from worker.model.assembly import load_engine
from worker.model.engine import TransformersEngine
from worker.model.folder import Pooling
from worker.model.recipe import ClassifierRecipe, EngineRecipe
from worker.types import Predictions, Tokenized

Numbers = NDArray[np.float32]
CLOSE = {"rtol": 0.0, "atol": 1e-5}
POOLS: dict[Pooling, Callable[[torch.Tensor], torch.Tensor]] = {
    "cls": lambda hidden: hidden[0],
    "mean": lambda hidden: hidden.mean(dim=0),
    "last": lambda hidden: hidden[-1],
}
POOLING_FILES: dict[Pooling, dict[str, bool]] = {
    "cls": {"pooling_mode_cls_token": True},
    "mean": {"pooling_mode_mean_tokens": True},
    "last": {"pooling_mode_lasttoken": True},
}


@torch.inference_mode()
def hidden_states(folder: Path, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """The last ones of the model without its head, [tokens, d] a text."""
    model = AutoModel.from_pretrained(folder).eval()
    return [model(input_ids=torch.tensor([list(row)]))[0][0] for row in rows]


def embeddings(folder: Path, rows: Sequence[Sequence[int]], pooling: Pooling = "mean") -> Numbers:
    return pooled(hidden_states(folder, rows), pooling)


def pooled(hidden: Sequence[torch.Tensor], pooling: Pooling) -> Numbers:
    return unit(np.stack([POOLS[pooling](states).numpy() for states in hidden]))


def unit(rows: Numbers) -> Numbers:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@torch.inference_mode()
def logits(folder: Path, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    return torch.cat([model(input_ids=torch.tensor([list(row)])).logits for row in rows])


def scores(folder: Path, rows: Sequence[Sequence[int]]) -> Numbers:
    """Of a classifier whose labels exclude each other."""
    return torch.softmax(logits(folder, rows), dim=-1).numpy()


def linear(folder: Path, rows: Numbers) -> Numbers:
    """Scores of a tagstream head on embeddings."""
    head = load_file(folder / "head.safetensors")
    return torch.softmax(torch.from_numpy(rows) @ head["weight"].T + head["bias"], dim=-1).numpy()


def ids_of(texts: Sequence[str], *, max_length: int = POSITIONS) -> list[list[int]]:
    """Token ids of transformers' own tokenizer."""
    return [tokenizer_of(None)(text, truncation=True, max_length=max_length)["input_ids"] for text in texts]


def recipe_of(*classifiers: Path, encoder: Path | None = None, **options: Any) -> EngineRecipe:
    """Classifiers under the names of their folders; a folder without a head is an encoder."""
    named = tuple(ClassifierRecipe(path.name, str(path)) for path in classifiers)
    chosen = {"device": "cpu", "threads": 1, "max_batch_tokens": 128, **options}
    return EngineRecipe(classifiers=named, encoder=None if encoder is None else str(encoder), **chosen)


def load(*classifiers: Path, encoder: Path | None = None, **options: Any) -> TransformersEngine:
    return load_engine(recipe_of(*classifiers, encoder=encoder, **options))


def predict(engine: TransformersEngine, texts: Sequence[str]) -> Predictions:
    return engine.infer(engine.tokenize(texts))


def predict_ids(engine: TransformersEngine, rows: Sequence[Sequence[int]]) -> Predictions:
    """Of token ids that no tokenizer has made."""
    ids = [((np.array(row, np.int32),),) for row in rows]
    sizes = np.array([len(row) for row in rows], np.int32)
    return engine.infer(Tokenized(ids, sizes, np.ones(len(rows), np.int32), np.zeros(len(rows), np.bool_)))
