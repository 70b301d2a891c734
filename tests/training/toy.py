"""A corpus that a tiny model learns in seconds, and bases for it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch

from tests.model.tiny import SPREAD, WORDS, change_weights, config_of, write_encoder
from worker.model.folder import read_folder
from worker.text.preparation import Preparation
from worker.training.corpus import Corpus, Example, Kind
from worker.training.finetune import Machine
from worker.training.job import Job
from worker.training.trainer import FineTuning

LABELS = ("a", "b", "c")
EACH = 8  # words that belong to a label; the others to none
QUICK = FineTuning(learning_rate=1e-2, epochs=4, batch_size=8)
ONE_THREAD = Machine(device="cpu", threads=1)


def corpus_of(kind: Kind = "single", *, train: int = 96, valid: int = 30, test: int = 0, seed: int = 0) -> Corpus:
    """Texts of words, two of each label that they have."""
    draw = random.Random(seed)
    parts = [tuple(_example(kind, i, draw) for i in range(count)) for count in (train, valid, test)]
    return Corpus(kind, LABELS, *parts, dropped={}, fingerprint=f"{seed:064x}")


def write_base(folder: Path, kind: str = "bert", **options: Any) -> Path:
    """Three layers and small random weights, which learn more easily than large ones."""
    sizes = {"num_hidden_layers": 3} if kind == "bert" else {}
    write_encoder(folder, config_of(kind, **sizes, **options))
    change_weights(folder, _calm)
    return folder


def job_of(base: Path, out: Path, tune: str = "full", **options: Any) -> Job:
    return Job(read_folder(str(base)), out, tune, Preparation(), **options)


def _calm(weights: dict[str, torch.Tensor]) -> None:
    for weight in weights.values():
        if weight.dim() > 1:
            weight.mul_(5 / SPREAD)


def _example(kind: Kind, number: int, draw: random.Random) -> Example:
    places = [number % 3] if kind == "single" else [place for place in range(3) if draw.random() < 0.4]
    words = [word for place in places for word in draw.choices(WORDS[place * EACH : (place + 1) * EACH], k=3)]
    words += draw.choices(WORDS[3 * EACH :], k=draw.randint(1, 4))
    draw.shuffle(words)
    return Example(" ".join(words), tuple(LABELS[place] for place in places))
