"""Small corpora whose labels are told by words of their own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from tests.model.tiny import WORDS, config_of, write_encoder, write_sentence_files
from worker.model.folder import read_folder
from worker.text.preparation import Preparation
from worker.training.corpus import Corpus, Example, Kind, fingerprint
from worker.training.job import Job

SIZES = {"train": 40, "valid": 16, "test": 12}  # of each label


def tiny_encoder(folder: Path) -> Path:
    """A random encoder that is no classifier, mean-pooled."""
    write_encoder(folder, config_of("bert"))
    return write_sentence_files(folder, pooling={"pooling_mode_mean_tokens": True})


def corpus_of(labels: Sequence[str], *, kind: Kind = "single", empty: Sequence[str] = (), seed: int = 3) -> Corpus:
    """All splits but the `empty` ones. Texts of `multi` have the words of each of their labels."""
    draw = random.Random(seed)
    splits = {
        split: tuple(_example(draw, i, labels, kind) for i in range(len(labels)) for _ in range(count))
        for split, count in SIZES.items()
    }
    train, valid, test = (() if split in empty else splits[split] for split in ("train", "valid", "test"))
    digest = fingerprint(kind, {"train": train, "valid": valid, "test": test})
    return Corpus(kind, tuple(labels), train, valid, test, dropped={}, fingerprint=digest)


def job_of(base: Path, out: Path, **options: object) -> Job:
    preparation = options.pop("preparation", Preparation())
    return Job(read_folder(str(base)).without_head(), out, "head", preparation, **options)  # type: ignore[arg-type]


def _example(draw: random.Random, i: int, labels: Sequence[str], kind: Kind) -> Example:
    given = [i] if kind == "single" else [j for j in range(len(labels)) if draw.random() < 0.4]
    words = [word for j in given for word in draw.choices(WORDS[j * 10 : j * 10 + 10], k=6)]
    return Example(" ".join(words or draw.choices(WORDS[-10:], k=6)), tuple(labels[j] for j in given))
