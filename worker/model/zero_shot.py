"""Labels without training: each is the mean of what the encoder makes of its descriptions; the nearest one wins.

Prototypes are compared with the embedding that every message gets anyway, so they cost nothing per message.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.errors import SettingsError
from worker.model.engine import TransformersEngine
from worker.model.recipe import ZeroShotRecipe
from worker.types import Classifier

SCALE = 20.0  # from cosines to logits, as sentence-transformers' losses take it: .1 nearer is e² times as likely


def with_zero_shot(engine: TransformersEngine, recipes: Sequence[ZeroShotRecipe]) -> TransformersEngine:
    """The engine with one more classifier for each recipe. Raises `SettingsError`."""
    for recipe in recipes:
        weights = np.stack([_prototype(engine, label, texts) for label, texts in recipe.labels.items()]) * SCALE
        engine = engine.with_head(_classifier(recipe, engine.encoder), weights)
    return engine


def _classifier(recipe: ZeroShotRecipe, encoder: str) -> Classifier:
    described = json.dumps([encoder, *recipe.labels.items()])
    digest = hashlib.sha256(described.encode()).hexdigest()[:12]
    return Classifier(recipe.name, "single", tuple(recipe.labels), "zero-shot", digest)


def _prototype(engine: TransformersEngine, label: str, texts: Sequence[str]) -> NDArray[np.float32]:
    tokenized = engine.tokenize(texts)
    predictions = engine.infer(tokenized)
    if tokenized.errors or predictions.failed:
        raise SettingsError(f"zero-shot label {label!r}: a description cannot be embedded; put it in other words")
    mean = predictions.embeddings.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)
