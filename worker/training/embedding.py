"""Embeddings of all texts of a training, kept on disk as they are made: an interrupted training goes on there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.model.assembly import engine_of
from worker.model.engine import TransformersEngine
from worker.model.folder import ModelFolder
from worker.model.loading import choose_device, choose_dtype
from worker.model.recipe import EngineRecipe
from worker.training.progress import Progress

PART = 512  # texts of a file: seconds of work, which is what an interruption costs
VERSION = 1  # raise it with any change of what an embedding is

Embeddings = NDArray[np.float32]


def embeddings_of(
    texts: Sequence[str], *, folder: ModelFolder, recipe: EngineRecipe, cache: Path, progress: Progress
) -> Embeddings:
    """Unit rows [n, d]; not a number throughout where the model could not read a text. Raises `SettingsError`."""
    kept = cache / _key(texts, folder, recipe)
    engine: TransformersEngine | None = None
    parts = []
    with progress.task("embedding texts", len(texts)) as advance:
        for start in range(0, len(texts), PART):
            part, file = texts[start : start + PART], kept / f"{start // PART:06}.npy"
            rows = _read(file, len(part))
            if rows is None:
                engine = engine or engine_of(folder, recipe)
                rows = _embed(engine, part)
                _write(file, rows)
            parts.append(rows)
            advance(len(part))
    return np.concatenate(parts)


def store_embeddings(
    texts: Sequence[str], rows: Embeddings, *, folder: ModelFolder, recipe: EngineRecipe, cache: Path
) -> None:
    """Put what is known already where `embeddings_of` looks for it: a part of a corpus costs no second pass."""
    kept = cache / _key(texts, folder, recipe)
    for start in range(0, len(texts), PART):
        _write(kept / f"{start // PART:06}.npy", rows[start : start + PART])


def readable(embeddings: Embeddings) -> NDArray[np.bool_]:
    """Which texts have one."""
    return np.asarray(np.isfinite(embeddings).all(axis=1))


def _key(texts: Sequence[str], folder: ModelFolder, recipe: EngineRecipe) -> str:
    """Changes with all that an embedding depends on, and with the texts and their order."""
    device = choose_device(recipe.device)
    dtype = choose_dtype(recipe.dtype, device)
    made = [VERSION, folder.revision, folder.pooling, recipe.windows.overlap, device.type, str(dtype)]
    whole = hashlib.sha256(json.dumps(made).encode("ascii"))
    for text in texts:
        whole.update(json.dumps(text).encode("ascii"))
    return f"{folder.revision}-{whole.hexdigest()[:16]}"


def _embed(engine: TransformersEngine, texts: Sequence[str]) -> Embeddings:
    tokenized = engine.tokenize(texts)
    predictions = engine.infer(tokenized)
    rows = predictions.embeddings.copy()
    rows[[*tokenized.errors, *predictions.failed]] = np.nan
    return rows


def _read(file: Path, count: int) -> Embeddings | None:
    """A part that was made before; one that is damaged is made again."""
    try:
        rows: Embeddings = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.ndim == 2 and len(rows) == count and rows.dtype == np.float32 else None


def _write(file: Path, rows: Embeddings) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(f".{os.getpid()}")
    with half.open("wb") as stream:
        np.save(stream, rows, allow_pickle=False)
    half.rename(file)
