"""A linear head on a frozen encoder: labels from a few thousand texts, in under a minute on two cores.

The result is a model directory: the encoder's own files, and beside them the head.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from worker.errors import SettingsError
from worker.model.assembly import engine_of
from worker.model.folder import HEAD_CONFIG, HEAD_FORMAT, HEAD_WEIGHTS, ModelFolder, read_folder
from worker.model.recipe import EngineRecipe

C = 10.0  # unit-length embeddings have small coordinates: the usual 1.0 holds the weights back too much
MAX_ITERATIONS = 1000


@dataclass(frozen=True, slots=True)
class TrainedHead:
    """What came of a training. `accuracy` is on `held_back` texts that the head never saw."""

    labels: tuple[str, ...]
    accuracy: float
    texts: int
    held_back: int


def train_head(
    *,
    encoder: str,
    texts: Sequence[str],
    labels: Sequence[str],
    out: Path,
    seed: int = 0,
    max_texts: int = 2000,
    held_back_share: float = 0.2,
) -> TrainedHead:
    """Fit logistic regression on the encoder's embeddings and write the model directory `out`, whole or not at all.

    At most `max_texts` are used, drawn by `seed`; texts that cannot be tokenised are left out. An earlier head at
    `out` is replaced, anything else there is refused. Raises `SettingsError`.
    """
    _refuse_data(texts, labels)
    _refuse_target(out)
    folder = read_folder(encoder).without_head()
    drawn = np.random.default_rng(seed).permutation(len(texts))[:max_texts]
    embeddings, usable = _embed(folder, [texts[i] for i in drawn])
    names = np.array([labels[i] for i in drawn])[usable]
    train, test, train_names, test_names = _split(embeddings[usable], names, held_back_share, seed)
    if len(set(train_names)) < 2:
        raise SettingsError(f"the {len(names)} texts drawn hold fewer than two labels; give more texts of each")
    model = LogisticRegression(C=C, max_iter=MAX_ITERATIONS, random_state=seed).fit(train, train_names)
    report = TrainedHead(tuple(model.classes_.tolist()), float(model.score(test, test_names)), len(train), len(test))
    _write(folder, report, *_rows(model), out)
    return report


def _refuse_data(texts: Sequence[str], labels: Sequence[str]) -> None:
    if len(texts) != len(labels):
        raise SettingsError(f"{len(texts)} texts but {len(labels)} labels; each text needs one")
    if len(set(labels)) < 2:
        raise SettingsError(f"the texts have {len(set(labels))} different labels; a classifier needs two or more")


def _refuse_target(out: Path) -> None:
    if out.exists() and not (out / HEAD_CONFIG).exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"{out} exists and is not a trained head; choose another --out")


def _embed(folder: ModelFolder, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Embeddings of all texts, and which of them are usable."""
    engine = engine_of(folder, EngineRecipe())
    tokenized = engine.tokenize(texts)
    predictions = engine.infer(tokenized)
    lost = set(tokenized.errors) | set(predictions.failed)
    return predictions.embeddings, np.array([i for i in range(len(texts)) if i not in lost], np.intp)


def _split(
    embeddings: NDArray[np.float32], names: NDArray[np.str_], share: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.str_], NDArray[np.str_]]:
    """Training and held-back part, with the same shares of each label where there are texts enough for that."""
    counts = Counter(names.tolist())
    enough = min(counts.values(), default=0) >= 2 and share * len(names) >= len(counts)
    if len(names) < 2:
        raise SettingsError(f"{len(names)} usable texts are too few to train on")
    train, test, train_names, test_names = train_test_split(
        embeddings, names, test_size=share, random_state=seed, stratify=names if enough else None
    )
    return train, test, train_names, test_names


def _rows(model: LogisticRegression) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight [labels, d] and bias [labels]; of two labels sklearn keeps one row, whose opposite is zero."""
    weight, bias = model.coef_, model.intercept_
    if len(weight) == 1:
        weight, bias = np.vstack([np.zeros_like(weight), weight]), np.concatenate([[0.0], bias])
    return np.ascontiguousarray(weight, np.float32), np.ascontiguousarray(bias, np.float32)


def _write(
    folder: ModelFolder, report: TrainedHead, weight: NDArray[np.float32], bias: NDArray[np.float32], out: Path
) -> None:
    """Build the directory beside its place, then rename it there."""
    config = {
        "format": HEAD_FORMAT,
        "kind": "single",
        "labels": report.labels,
        "encoder": {"name": folder.name, "revision": folder.revision},
        "trained": {"texts": report.texts, "held_back": report.held_back, "accuracy": round(report.accuracy, 4)},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        built = Path(scratch) / "built"
        for file in folder.files:
            (built / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder.root / file, built / file)
        (built / HEAD_WEIGHTS).write_bytes(save({"weight": weight, "bias": bias}))
        (built / HEAD_CONFIG).write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if out.exists():
            out.rename(Path(scratch) / "replaced")
        built.rename(out)
