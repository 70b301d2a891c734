"""One cell measured: trained by the project's own functions, and asked for every text of the test part once."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.quality_cells.cells import BASELINES, HEADS, LAYERS, Cell, Result
from benchmarks.quality_cells.heads import Learning
from benchmarks.quality_cells.sets import SETS, few, read_set
from worker.errors import SettingsError, Stop
from worker.evaluation.answers import Answers, truth_of
from worker.evaluation.asking import ask
from worker.evaluation.baseline import Baseline, Part, fit_baselines
from worker.evaluation.calibration import calibration_of, tempered
from worker.model.assembly import load_engine
from worker.model.folder import ModelFolder, read_folder
from worker.model.recipe import ClassifierRecipe, EngineRecipe
from worker.text.preparation import Preparation
from worker.training.classifier import layers_of
from worker.training.corpus import SPLITS, Corpus, Example
from worker.training.embedding import Embeddings, embeddings_of, readable
from worker.training.finetune import finetune
from worker.training.job import Job
from worker.training.progress import Progress
from worker.training.trainer import figures

# A cell is measured anew when the code that it measures has changed.
CODE: dict[str, tuple[str, ...]] = {
    BASELINES: ("evaluation.baseline",),
    **dict.fromkeys(
        HEADS, ("training.head", "training.linear", "training.scales", "training.calibrated", "model.characters")
    ),
    **dict.fromkeys(LAYERS, tuple(f"training.{name}" for name in ("finetune", "trainer", "classifier", "options"))),
}
COSTED, WARM = 128, 16  # texts that the cost of a text is measured on, and texts before them
AGREE = 0.01  # of scores: the engine packs texts in another way than the training did
ENGINE = EngineRecipe()

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A set with the embeddings of its texts."""

    corpus: Corpus
    base: ModelFolder
    places: dict[str, int]
    embeddings: Embeddings

    def rows(self, examples: Sequence[Example]) -> Embeddings:
        return self.embeddings[[self.places[example.text] for example in examples]]


class Measuring:
    """Measures cells. `bases` are folders of the encoder for English, and for all languages if there is one."""

    def __init__(self, *, data: Path, cache: Path, bases: Sequence[ModelFolder], progress: Progress) -> None:
        self._data, self._cache, self._progress = data, cache, progress
        self._bases = {one.name: bases[-1] if one.multilingual else bases[0] for one in SETS}
        self._loaded: dict[str, Loaded] = {}
        self._corpora: dict[str, Corpus] = {}

    def made_from(self, cell: Cell) -> str:
        """Changes with the data, the base and the code that trains."""
        whole = hashlib.sha256(f"{self._corpus(cell.data).fingerprint} {self._bases[cell.data].revision}".encode())
        for module in CODE[cell.what]:
            origin = getattr(find_spec(f"worker.{module}"), "origin", None)
            whole.update(Path(origin or "").read_bytes())
        return whole.hexdigest()[:16]

    def measure(self, cell: Cell) -> Result | None:
        """None where the set has too few texts, or too many labels, for so small a part of it."""
        whole = self._corpus(cell.data)
        corpus = few(whole, cell.texts, cell.seed) if cell.texts else whole
        if corpus is None:
            return None
        if cell.what == BASELINES:
            return {"baselines": [_baseline(found) for found in _baselines(corpus)]}
        if cell.what in LAYERS:
            return self._layers(cell, corpus)
        with tempfile.TemporaryDirectory(dir=self._cache, prefix="head-") as scratch:
            return self._head(cell, corpus, Path(scratch))

    def _corpus(self, name: str) -> Corpus:
        if name not in self._corpora:
            self._corpora[name] = read_set(self._data, name)
        return self._corpora[name]

    def _load(self, name: str) -> Loaded:
        """One set at a time is held."""
        if name not in self._loaded:
            corpus, base = self._corpus(name), self._bases[name]
            texts = [example.text for split in SPLITS for example in corpus.of(split)]
            rows = embeddings_of(texts, folder=base, recipe=ENGINE, cache=self._cache, progress=self._progress)
            if not readable(rows).all():
                raise SettingsError(f"{base.name} cannot read all texts of {name}; measure with another encoder")
            self._loaded = {name: Loaded(corpus, base, {text: i for i, text in enumerate(texts)}, rows)}
        return self._loaded[name]

    def _head(self, cell: Cell, corpus: Corpus, scratch: Path) -> Result:
        loaded = self._load(cell.data)
        learning = Learning(loaded.base, ENGINE, HEADS[cell.what], seed=cell.seed)
        found, head = _timed(lambda: learning.fit(corpus, loaded.rows, scratch))
        test = head.says("test")
        found |= _told(head.temperature, head.fit.chosen, head.says("valid"), test) | {"passes": 1.0}
        if cell.seed or cell.texts:
            return found
        learning.write(head, scratch / "model")
        return found | _cost(scratch / "model", corpus.test, test)

    def _layers(self, cell: Cell, corpus: Corpus) -> Result:
        """An interrupted training goes on, but then its time is not known."""
        name = f"{cell.data}-{cell.what.replace(':', '')}-{cell.seed}"
        out = self._cache / "models" / name
        goes_on = (out.parent / f".{name}.training").exists()
        job = Job(self._bases[cell.data], out, cell.what, Preparation(), seed=cell.seed)
        found, trained = _timed(
            lambda: finetune(replace(corpus, test=()), job, top=LAYERS[cell.what], progress=self._progress)
        )
        engine = load_engine(_one(out))
        asked = [
            ask(engine, [e.text for e in part], [e.labels for e in part], lambda done: None)
            for part in (corpus.valid, corpus.test)
        ]
        if any(one.unread for one in asked):
            raise SettingsError(f"the model cannot read all texts of {cell.data}; measure with another encoder")
        found = {} if goes_on else found
        temperature = trained.manifest["temperature"]
        assert isinstance(temperature, float)
        found |= _told(temperature, trained.chosen, *(one.answers for one in asked))
        found |= _cost(out, corpus.test, asked[1].answers) | {"passes": _passes(job.base, LAYERS[cell.what])}
        shutil.rmtree(out)
        return found


def _timed(train: Callable[[], T]) -> tuple[Result, T]:
    """CPU time is of all threads: it says more than the clock where other work is done beside it."""
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    done = train()
    return {"train_s": time.monotonic() - began_s, "train_cpu_s": time.process_time() - began_cpu_s}, done


def _passes(base: ModelFolder, top: int | None) -> float:
    """Of a text, that which gives its embedding among them: the layers below the top are computed once for both."""
    return 2.0 if top is None else 1.0 + top / layers_of(base)


def _told(temperature: float, chosen: Mapping[str, object], valid: Answers, test: Answers) -> Result:
    """The scores of both have their temperature already."""
    return {
        "valid": _answered(valid),
        "test": _answered(test),
        "labels": list(test.labels),
        "temperature": temperature,
        "ece_before": calibration_of(tempered(test, 1 / temperature), seed=0).ece.value,
        "ece": asdict(calibration_of(test, seed=0).ece),
        "chosen": dict(chosen),
    }


def _answered(answers: Answers) -> dict[str, Any]:
    """Figures, and the label that each text was given, by its place."""
    return {**figures(answers), "given": answers.scores.argmax(axis=1).tolist()}


def _cost(folder: Path, examples: Sequence[Example], answers: Answers) -> Result:
    """CPU time of a text in an engine that also gives the base's embedding, as a worker with clusters has it.

    On one thread: where cores are shared, those of several turn in a loop until the last is done.
    """
    engine, some = load_engine(_one(folder)), examples[:COSTED]
    texts, labels = [e.text for e in some], [e.labels for e in some]
    ask(engine, texts[:WARM], labels[:WARM], lambda done: None)
    began_s = time.process_time()
    asked = ask(engine, texts, labels, lambda done: None)
    spent_s = time.process_time() - began_s
    order = [answers.labels.index(label) for label in asked.answers.labels]
    apart = float(np.abs(asked.answers.scores - answers.scores[: len(some)][:, order]).max())
    if apart > AGREE:
        raise Stop(f"engine and training differ by {apart:.3f} in a score of {folder.name}; please report this")
    return {"cpu_ms_text": 1000 * spent_s / len(some), "engine_apart": apart}


def _one(folder: Path) -> EngineRecipe:
    return replace(ENGINE, classifiers=(ClassifierRecipe("default", str(folder)),), threads=1)


def _baselines(corpus: Corpus) -> list[Baseline]:
    parts = [
        Part([e.text for e in corpus.of(split)], truth_of((e.labels for e in corpus.of(split)), corpus.labels))
        for split in SPLITS
    ]
    train, valid, test = parts
    return list(fit_baselines(kind=corpus.kind, labels=corpus.labels, train=train, valid=valid, test=test, seed=0))


def _baseline(found: Baseline) -> dict[str, Any]:
    return {
        "name": f"{found.features}, {found.name}",
        "strength": found.strength,
        "train_s": found.seconds,
        "valid": {"macro_f1": found.macro_f1},
        "test": _answered(found.test),
        "labels": list(found.test.labels),
    }


def bases_of(multilingual: str | None) -> list[ModelFolder]:
    """Raises `SettingsError` where one is not there."""
    return [read_folder(path) for path in ("minilm", multilingual) if path]
