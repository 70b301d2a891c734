"""The sets that streams are drawn from: embeddings, and the class of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.clusters.spherical import normalise
from worker.model.folder import read_folder
from worker.model.recipe import EngineRecipe
from worker.training.embedding import embeddings_of, readable
from worker.training.progress import Progress

ONE_CORPUS = "banking77"
MIXTURE = "mixture"
PER_CORPUS = 1500
CHARACTERS = 600  # of a text: which corpus it comes from is said by then, and embedding takes a quarter of the time
MODEL = "minilm"

Labelled = tuple[str, str]  # a text and its class


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Unit rows [n, d] and the number of each one's class; clusters are asked for as many as there are classes."""

    name: str
    rows: NDArray[np.float32]
    classes: NDArray[np.intp]

    @property
    def k(self) -> int:
        return int(self.classes.max()) + 1


def embedded_sets(folder: Path, *, cache: Path, progress: Progress) -> list[Embedded]:
    """One corpus by its labels, and all corpora together by which one a text is of."""
    corpora = {file.stem: _lines(file) for file in sorted(folder.glob("*.jsonl"))}
    labelled = [(line["text"], line["label"]) for line in corpora.get(ONE_CORPUS, [])]
    sets = {ONE_CORPUS: labelled, MIXTURE: _mixture(corpora)}
    return [_embedded(name, texts, cache, progress) for name, texts in sets.items() if texts]


def _lines(file: Path) -> list[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _mixture(corpora: Mapping[str, Sequence[dict[str, Any]]]) -> list[Labelled]:
    random = np.random.default_rng(0)
    mixed = [
        (lines[index]["text"][:CHARACTERS], name)
        for name, lines in corpora.items()
        for index in random.permutation(len(lines))[:PER_CORPUS]
    ]
    return [mixed[index] for index in random.permutation(len(mixed))]


def _embedded(name: str, labelled: Sequence[Labelled], cache: Path, progress: Progress) -> Embedded:
    folder = read_folder(MODEL).without_head()
    texts = [text for text, _ in labelled]
    rows = embeddings_of(texts, folder=folder, recipe=EngineRecipe(), cache=cache, progress=progress)
    known = np.flatnonzero(readable(rows))
    _, classes = np.unique([labelled[index][1] for index in known], return_inverse=True)
    return Embedded(name, normalise(rows[known]), classes)
