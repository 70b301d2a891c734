"""Heads trained as `tagstream train` does it, on embeddings that are known already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from worker.errors import SettingsError
from worker.evaluation.answers import Answers
from worker.evaluation.calibration import tempered
from worker.model.folder import ModelFolder
from worker.model.manifest import Features
from worker.model.recipe import EngineRecipe
from worker.text.preparation import Preparation
from worker.training.calibrated import calibrate
from worker.training.corpus import SPLITS, Corpus, Example, Split
from worker.training.embedding import Embeddings, store_embeddings
from worker.training.head import HeadFit, answered, fit_head, write_head
from worker.training.job import Job
from worker.training.progress import Silence

RowsOf = Callable[[Sequence[Example]], Embeddings]


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A fitted head, and what it says of a corpus with its temperature."""

    fit: HeadFit
    corpus: Corpus
    temperature: float

    def says(self, split: Split) -> Answers:
        found = answered(self.fit, split, self.corpus)
        if found is None or len(found.texts) < len(self.corpus.of(split)):
            raise SettingsError(f"the base cannot read all texts of the split {split}; measure with another encoder")
        return tempered(found.answers, self.temperature)


@dataclass(frozen=True, slots=True)
class Learning:
    """Trains heads on one base. `preparation` is what has been done to the texts already."""

    base: ModelFolder
    engine: EngineRecipe
    features: Features
    preparation: Preparation = field(default_factory=Preparation)
    seed: int = 0

    def fit(self, corpus: Corpus, rows_of: RowsOf, scratch: Path) -> Head:
        """`rows_of` gives the embeddings of examples, for which there is a place below `scratch`."""
        known, cache = [example for split in SPLITS for example in corpus.of(split)], scratch / "cache"
        texts = [example.text for example in known]
        store_embeddings(texts, rows_of(known), folder=self.base, recipe=self.engine, cache=cache)
        fit = fit_head(
            corpus,
            self._job(scratch),
            cache=cache,
            features=self.features,
            recipe=self.engine,
            progress=Silence(),
        )
        valid = answered(fit, "valid", corpus)
        return Head(fit, corpus, calibrate(valid.answers if valid else None, ()).temperature or 1.0)

    def write(self, head: Head, out: Path) -> None:
        """The model directory, without figures of the test part in it: they would take longer than the rest."""
        splits: dict[Split, Any] = {split: part for split, part in head.fit.splits.items() if split != "test"}
        seen = replace(head.corpus, test=())
        write_head(replace(head.fit, splits=splits), seen, self._job(out), progress=Silence())

    def _job(self, out: Path) -> Job:
        return Job(self.base, out, "head", self.preparation, seed=self.seed)
