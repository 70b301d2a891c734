"""`--recipe auto`: head, head with characters, the top layers and the whole model, compared on the validation part.

The cheap ones come first, and what does not fit into the time is left out, and said. The test part is looked at once,
by the chosen one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from worker.errors import SettingsError
from worker.model.folder import read_folder
from worker.model.manifest import Features
from worker.model.recipe import EngineRecipe
from worker.training.checkpoints import scratch
from worker.training.classifier import can_freeze, layers_of
from worker.training.compared import Answered, Compared, choose, difference, length
from worker.training.corpus import SPLITS, Corpus
from worker.training.directory import refuse_target
from worker.training.embedding import embeddings_of
from worker.training.finetune import Fit, Machine, fit_classifier, run_of, write_classifier
from worker.training.finish import Trained
from worker.training.head import HeadFit, answered, fit_head, write_head
from worker.training.job import Job
from worker.training.options import FineTuning
from worker.training.passes import measure_pass
from worker.training.progress import Progress
from worker.training.trainer import Diverged, figures

TOP = 2  # layers of top:N
BACKWARD = 2  # forward passes that a backward one takes, of the layers that learn
DONE = "done.json"
CUT_SHORT = "cut short by the time budget, and judged as it was then"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way of training: a head on `features`, or layers, of which `top` None are all."""

    name: str
    tune: str
    features: Features = "embedding"
    top: int | None = None


RECIPES = (
    Recipe("head", "head"),
    Recipe("head+characters", "head", "embedding+characters"),
    Recipe(f"top:{TOP}", f"top:{TOP}", top=TOP),
    Recipe("full", "full"),
)


@dataclass(frozen=True, slots=True)
class Means:
    """How each is trained: where and how the base runs, what keeps its embeddings, the options of a fine-tuning."""

    engine: EngineRecipe
    cache: Path
    options: FineTuning
    machine: Machine


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """A recipe and what came of it: `valid` None if it was left out, for the reason in `note`."""

    recipe: Recipe
    valid: Answered | None = None
    seconds: float = 0.0
    note: str = ""
    head: HeadFit | None = None


def train_best(corpus: Corpus, job: Job, *, means: Means, budget_s: float, progress: Progress) -> Trained:
    """Compare for `budget_s` seconds, and write the recipe that is worth its price to `job.out`.

    Heads are never cut short, fine-tunings are. Interrupted, it goes on when called again for the same. Raises as
    `finetune` does.
    """
    refuse_target(job.out)
    if not corpus.valid:
        raise SettingsError("recipes are compared on a validation part: mark some rows valid, or give more data")
    run = {"recipes": [recipe.name for recipe in RECIPES], **run_of(corpus, job, None, means.options, means.machine)}
    with scratch(job.out, run, progress) as place:
        comparison = _Comparison(corpus, job, means, place, progress)
        tried = list(comparison.tried(budget_s))
        kept = [(one, one.valid) for one in tried if one.valid is not None]
        passes = [comparison.passes(one.recipe) for one, _ in kept]
        best, _ = kept[choose(passes, [valid for _, valid in kept], seed=job.seed)]
        compared = tuple(comparison.compared(one, kept[0][1], chosen=one is best) for one in tried)
        progress.say(f"taken: {best.recipe.name}")
        return comparison.write(best, compared)


class _Comparison:
    """Tries recipes, each fine-tuning with its checkpoints in a directory of its own."""

    def __init__(self, corpus: Corpus, job: Job, means: Means, place: Path, progress: Progress) -> None:
        self._corpus, self._job, self._means = corpus, job, means
        self._place, self._progress = place, progress
        self._layers = layers_of(job.base)
        self._shared = _shared(means.engine, job)
        texts = [example.text for example in corpus.train]
        self._pass = measure_pass(job.base.without_head(), means.engine, texts)
        self._done = _Done(place / DONE)

    def tried(self, budget_s: float) -> Iterator[_Tried]:
        """Each recipe, cheapest first, until the time is spent; the first in any case."""
        embedding_s = self._embed()
        left_s = budget_s - embedding_s
        for recipe in RECIPES:
            why = self._unsuited(recipe) or (self._too_long(recipe, left_s) if recipe is not RECIPES[0] else "")
            if why:
                found = _Tried(recipe, note=f"left out, {why}")
            elif recipe.tune == "head":
                found = self._head(recipe, embedding_s)
                left_s -= found.seconds - embedding_s
            else:
                found = self._layers_tuned(recipe, left_s)
                left_s -= found.seconds
            self._progress.say(_line(found))
            yield found

    def passes(self, recipe: Recipe) -> float:
        """Forward passes a text: the clusters' encoder's, and of the layers that are not its own."""
        if recipe.tune == "head" or not self._shared:
            return 1.0
        return 1.0 + (1.0 if recipe.top is None else recipe.top / self._layers)

    def compared(self, one: _Tried, first: Answered, *, chosen: bool) -> Compared:
        passes = self.passes(one.recipe)
        more_s = 0.0 if one.recipe.features == "embedding" else self._pass.characters_s
        row = Compared(one.recipe.name, passes, passes * self._pass.text_s + more_s, note=one.note)
        if one.valid is None:
            return row
        found, same = figures(one.valid.answers), one.valid is first
        return replace(
            row,
            macro_f1=found["macro_f1"],
            accuracy=found["accuracy"],
            gain=None if same else difference(one.valid, first, seed=self._job.seed),
            seconds=round(one.seconds, 1),
            chosen=chosen,
        )

    def write(self, best: _Tried, compared: tuple[Compared, ...]) -> Trained:
        job = replace(self._job_of(best.recipe), compared=compared)
        if best.head is not None:
            return write_head(best.head, self._corpus, job, progress=self._progress)
        until_s = time.monotonic() if best.note else None  # it is trained already; one that was cut short is to stay so
        fitted = self._fitted(best.recipe, self._corpus, until_s)
        return write_classifier(fitted, self._corpus, job, self._means.options, progress=self._progress)

    def _embed(self) -> float:
        """Both heads need it; the seconds that it took."""
        began_s = time.monotonic()
        texts = [example.text for split in SPLITS for example in self._corpus.of(split)]
        means, base = self._means, self._job.base.without_head()
        embeddings_of(texts, folder=base, recipe=means.engine, cache=means.cache, progress=self._progress)
        return self._done.seconds("embedding", time.monotonic() - began_s)

    def _unsuited(self, recipe: Recipe) -> str:
        if recipe.top is None:
            return ""
        if not can_freeze(self._job.base):
            return "layers of this kind of model cannot be frozen"
        return f"the base has only {self._layers} layers" if recipe.top >= self._layers else ""

    def _too_long(self, recipe: Recipe, left_s: float) -> str:
        """Whether even the shortest training would not end in time: forward passes, and backward ones of a part."""
        if recipe.name in self._done:
            return ""
        if left_s <= 0:
            return "the time budget is spent"
        options, least_s = self._means.options, 0.0
        if recipe.tune != "head":
            share = 1.0 if recipe.top is None else recipe.top / self._layers
            epochs = min(options.epochs, options.patience + 1)
            least_s = epochs * len(self._corpus.train) * self._pass.text_s * (1 + BACKWARD * share)
        if least_s <= left_s:
            return ""
        return f"it would take {length(least_s)} or more, and {length(left_s)} of the time budget are left"

    def _head(self, recipe: Recipe, embedding_s: float) -> _Tried:
        began_s = time.monotonic()
        head = fit_head(
            self._corpus,
            self._job_of(recipe),
            cache=self._means.cache,
            features=recipe.features,
            recipe=self._means.engine,
            progress=self._progress,
        )
        seconds = embedding_s + time.monotonic() - began_s
        return _Tried(recipe, answered(head, "valid", self._corpus), seconds, head=head)

    def _layers_tuned(self, recipe: Recipe, left_s: float) -> _Tried:
        """It never sees the test part."""
        began_s = time.monotonic()
        known = recipe.name in self._done
        until_s = None if known else began_s + left_s
        try:
            valid = self._fitted(recipe, replace(self._corpus, test=()), until_s).valid
        except Diverged as error:
            return _Tried(recipe, seconds=time.monotonic() - began_s, note=f"left out, {error}")
        taken_s = time.monotonic() - began_s
        if not known and taken_s >= left_s:
            return _Tried(recipe, valid, taken_s, note=CUT_SHORT)
        return _Tried(recipe, valid, self._done.seconds(recipe.name, taken_s))

    def _fitted(self, recipe: Recipe, corpus: Corpus, until_s: float | None) -> Fit:
        """Goes on where it was interrupted; one that has ended is only loaded."""
        return fit_classifier(
            corpus,
            self._job_of(recipe),
            top=recipe.top,
            options=self._means.options,
            machine=self._means.machine,
            place=self._place / recipe.tune.replace(":", "-"),
            progress=self._progress,
            until_s=until_s,
        )

    def _job_of(self, recipe: Recipe) -> Job:
        base = self._job.base.without_head() if recipe.tune == "head" else self._job.base
        return replace(self._job, base=base, tune=recipe.tune)


class _Done:
    """What has ended whole, by name, and the seconds that it took: loaded again it would seem to take none."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, float] = json.loads(file.read_bytes()) if file.exists() else {}

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def seconds(self, name: str, taken_s: float) -> float:
        """Those of the first time."""
        if name not in self._known:
            self._known[name] = taken_s
            half = self._file.with_suffix(".half")
            half.write_text(json.dumps(self._known), encoding="utf-8")
            half.rename(self._file)
        return self._known[name]


def _shared(engine: EngineRecipe, job: Job) -> bool:
    """Whether the clusters read the embedding of the base, as they do if nothing else is said."""
    if engine.encoder is None or not engine.lasting:
        return engine.lasting
    encoder = read_folder(engine.encoder, allow_download=engine.allow_download)
    return encoder.without_head().revision == job.base.without_head().revision


def _line(found: _Tried) -> str:
    if found.valid is None:
        return f"{found.recipe.name}: {found.note}"
    reached = figures(found.valid.answers)
    known = f"validation macro-F1 {reached['macro_f1']:.3f}, accuracy {reached['accuracy']:.3f}"
    return f"{found.recipe.name}: {known}, {length(found.seconds)}{found.note and f'; {found.note}'}"
