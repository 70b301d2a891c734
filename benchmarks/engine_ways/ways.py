"""The ways to both the labels and the embeddings of texts: what people do, peers, and this engine.

Each is a callable: texts → (scores [n, labels], normalised embeddings [n, d]), read off the same base.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline

from benchmarks.engine_ways.models import BASE, CLASSIFIER, OTHER_CLASSIFIER, linear_head
from benchmarks.engine_ways.questions import Setup
from worker.model.assembly import load_engine
from worker.model.engine import TransformersEngine
from worker.model.folder import read_folder
from worker.model.process import EngineProcess
from worker.model.recipe import ClassifierRecipe, EngineRecipe
from worker.types import Engine

Outcome = tuple[NDArray[np.float32], NDArray[np.float32]]
Way = Callable[[Sequence[str]], Outcome]

BATCH = 32
# What a padded batch may hold. More is slower: it pads more (the table "by token budget").
PADDED_TOKENS = 1024


class TwoModels:
    """A classifier, then an encoder over the same texts: batches in arrival order, each padded to its longest."""

    def __init__(self, models: Path, device: str, *, batch: int) -> None:
        self._batch = batch
        self._device = device
        place: dict[str, Any] = {"dtype": _dtype(device)}
        self._longest = read_folder(str(models / BASE)).max_length
        self._tokenizer = AutoTokenizer.from_pretrained(models / BASE)
        classifier = AutoModelForSequenceClassification.from_pretrained(models / CLASSIFIER, **place)
        self._classifier = classifier.to(device).eval()
        self._encoder = AutoModel.from_pretrained(models / BASE, **place).to(device).eval()

    def __call__(self, texts: Sequence[str]) -> Outcome:
        batches = [texts[i : i + self._batch] for i in range(0, len(texts), self._batch)]
        scores = np.concatenate([self._classify(batch) for batch in batches])
        return scores, np.concatenate([self._embed(batch) for batch in batches])

    @torch.inference_mode()
    def _classify(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return _array(self._classifier(**self._inputs(texts)).logits.float().softmax(dim=1))

    @torch.inference_mode()
    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        inputs = self._inputs(texts)
        hidden, weights = self._encoder(**inputs).last_hidden_state, inputs["attention_mask"].unsqueeze(-1)
        means = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
        return _array(torch.nn.functional.normalize(means.float()))

    def _inputs(self, texts: Sequence[str]) -> Any:
        encoded = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._longest, return_tensors="pt"
        )
        return encoded.to(self._device)


class Pipelines:
    """transformers' pipelines for both tasks, in batches of 32 or, as they come, of one."""

    def __init__(self, models: Path, device: str, *, batch: int) -> None:
        self._batch = batch
        tokenizer = AutoTokenizer.from_pretrained(models / BASE)
        self._given = {"truncation": True, "max_length": read_folder(str(models / BASE)).max_length}
        place: dict[str, Any] = {"device": device, "dtype": _dtype(device), "tokenizer": tokenizer}
        self._classify = pipeline("text-classification", model=str(models / CLASSIFIER), top_k=None, **place)
        self._embed = pipeline("feature-extraction", model=str(models / BASE), **place)

    def __call__(self, texts: Sequence[str]) -> Outcome:
        listed = list(texts)
        labelled = self._classify(listed, batch_size=self._batch, **self._given)
        labels = self._classify.model.config.id2label.values()
        by_label = [{found["label"]: found["score"] for found in each} for each in labelled]
        scores = np.array([[each[label] for label in labels] for each in by_label], np.float32)
        return scores, _array(torch.nn.functional.normalize(self._means(listed)))

    def _means(self, texts: list[str]) -> torch.Tensor:
        """The pipeline hands out padding too, and no mask to leave it out by: count again."""
        states = self._embed(texts, batch_size=self._batch, return_tensors=True, tokenize_kwargs=self._given)
        ids = self._embed.tokenizer(texts, **self._given)["input_ids"]
        return torch.stack([each[0, : len(one)].float().mean(dim=0) for each, one in zip(states, ids, strict=True)])


class SentenceTransformers:
    """`encode`, which sorts by length and pads batches of 32, and a linear head on what it gives."""

    def __init__(self, models: Path, device: str) -> None:
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(str(models / BASE), device=device, model_kwargs={"dtype": _dtype(device)})
        self._head = linear_head(self._model.get_embedding_dimension())

    def __call__(self, texts: Sequence[str]) -> Outcome:
        embeddings = self._model.encode(
            list(texts), batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
        ).astype(np.float32)
        powers = np.exp(embeddings @ self._head)
        return powers / powers.sum(axis=1, keepdims=True), embeddings


class OurEngine:
    """tagstream's engine, from texts to numbers on one thread: tokenising is not hidden here."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __call__(self, texts: Sequence[str]) -> Outcome:
        predictions = self.engine.infer(self.engine.tokenize(texts))
        return predictions.scores[0], predictions.embeddings


def lay_out(engine: TransformersEngine, *, packed: bool) -> None:
    """Choose the layout that the engine itself chooses at load; only a benchmark has two to compare."""
    for lane in engine._lanes:
        lane.use(packed=packed)


def set_budget(engine: TransformersEngine, tokens: int) -> int:
    """The budget before."""
    before, engine._budget.tokens = engine._budget.tokens, tokens
    return before


def make_way(setup: Setup) -> Way:
    """By the names in `WAYS`. Raises `ImportError` where a peer is not installed."""
    return WAYS[setup.way](setup)


def _recipe(setup: Setup, *, classifier: str = CLASSIFIER, max_batch_tokens: int = 0) -> EngineRecipe:
    return EngineRecipe(
        classifiers=(ClassifierRecipe("default", str(setup.models / classifier)),),
        encoder=str(setup.models / BASE),
        device=setup.device,
        max_batch_tokens=max_batch_tokens,
        threads=setup.threads,
    )


def _padded(setup: Setup) -> OurEngine:
    """The same texts, sorted by length, in padded batches under a budget."""
    engine = load_engine(_recipe(setup, max_batch_tokens=PADDED_TOKENS))
    lay_out(engine, packed=False)
    return OurEngine(engine)


ONE_AT_A_TIME = "one text at a time, two models"
BATCHES = "batches of 32, two models"
PIPELINES = "transformers pipelines"
BATCHED_PIPELINES = "transformers pipelines, batches of 32"
SENTENCE_TRANSFORMERS = "sentence-transformers and a head"
PADDED = "token budget, padded"
OURS = "tagstream"
OURS_TWO_MODELS = "tagstream, two unequal models"
OUR_PROCESS = "tagstream, in a process of its own"

WAYS: dict[str, Callable[[Setup], Way]] = {
    ONE_AT_A_TIME: lambda setup: TwoModels(setup.models, setup.device, batch=1),
    BATCHES: lambda setup: TwoModels(setup.models, setup.device, batch=BATCH),
    PIPELINES: lambda setup: Pipelines(setup.models, setup.device, batch=1),
    BATCHED_PIPELINES: lambda setup: Pipelines(setup.models, setup.device, batch=BATCH),
    SENTENCE_TRANSFORMERS: lambda setup: SentenceTransformers(setup.models, setup.device),
    PADDED: _padded,
    OURS: lambda setup: OurEngine(load_engine(_recipe(setup))),
    OURS_TWO_MODELS: lambda setup: OurEngine(load_engine(_recipe(setup, classifier=OTHER_CLASSIFIER))),
    OUR_PROCESS: lambda setup: OurEngine(EngineProcess(_recipe(setup), log_level="error")),
}


def _dtype(device: str) -> torch.dtype:
    return torch.float32 if device == "cpu" else torch.bfloat16


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return np.asarray(tensor.cpu().numpy(), np.float32)
