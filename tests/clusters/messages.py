"""Messages as lists of words, of clusters that are known."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from worker.clusters.words import words
from worker.text.stopwords import LANGUAGES, stop_words


def zipf(count: int, *, vocabulary: int = 20_000, seed: int = 0, prefix: str = "w") -> list[list[str]]:
    """Ten words each, some common, most rare."""
    ranks = np.random.default_rng(seed).zipf(1.3, size=(count, 10)) % vocabulary
    return [[f"{prefix}{rank}" for rank in dict.fromkeys(row)] for row in ranks.tolist()]


def labelled(count: int) -> tuple[np.ndarray, list[list[str]]]:
    """Clusters and words of messages in any order: banking77 if there, else made up."""
    random = np.random.default_rng(0)
    folder = os.environ.get("TAGSTREAM_DATA")
    if folder is None:
        labels = random.integers(0, 40, count)
        return labels, [
            [*words_, *topic]
            for words_, topic in zip(zipf(count), (_topic(label, random) for label in labels), strict=True)
        ]
    rows = [json.loads(line) for line in Path(folder, "banking77.jsonl").read_text(encoding="utf-8").splitlines()]
    _, labels = np.unique([row["label"] for row in rows], return_inverse=True)
    stop = stop_words(LANGUAGES)
    messages = [words(row["text"], stop) for row in rows]
    order = np.concatenate([random.permutation(len(rows)) for _ in range(-(-count // len(rows)))])[:count]
    return labels[order], [messages[i] for i in order.tolist()]


def _topic(label: int, random: np.random.Generator) -> list[str]:
    """Of ten words, the first more often than the others."""
    return [f"topic{label}x{rank}" for rank in range(10) if random.random() < 0.6 / (1 + rank)]
