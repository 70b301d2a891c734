"""What follows from the results of one set: the recipe to recommend, and how it compares."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.quality_cells.cells import BASELINES, RECIPES, Cell, Result
from worker.evaluation.answers import Answers, truth_of
from worker.evaluation.bootstrap import Comparison, Estimate, compare
from worker.training import compared
from worker.training.compared import Answered
from worker.training.corpus import Corpus, Split

Results = Mapping[Cell, Result]


@dataclass(frozen=True, slots=True)
class Recommended:
    """The recipe that validation chose, its figures on the test part, and the best baseline there beside it."""

    recipe: str
    accuracy: float
    macro_f1: float
    ece_before: float
    ece: Estimate
    baseline: str | None
    against: Comparison | None


def runs(results: Results, data: str, what: str) -> list[Result]:
    """Of all training texts, by seed."""
    found = {cell.seed: r for cell, r in results.items() if (cell.data, cell.what, cell.texts) == (data, what, None)}
    return [found[seed] for seed in sorted(found)]


def mean(found: Sequence[Result], part: str, figure: str) -> float:
    """Over the seeds."""
    return statistics.fmean(run[part][figure] for run in found)


def choose(results: Results, data: str, corpus: Corpus) -> str | None:
    """As `tagstream train --recipe auto` does it, by the first seed's answers on validation; None without any."""
    measured = {recipe: found[0] for recipe in RECIPES if (found := runs(results, data, recipe))}
    if not measured:
        return None
    texts = tuple(example.text for example in corpus.valid)
    valid = [Answered(_answers(found, "valid", corpus), texts) for found in measured.values()]
    return [*measured][compared.choose([found["passes"] for found in measured.values()], valid, seed=0)]


def recommended(results: Results, data: str, corpus: Corpus) -> Recommended | None:
    """Compared by the answers of the first seed; the figures are means over the seeds."""
    recipe = choose(results, data, corpus)
    if recipe is None:
        return None
    found, baseline = runs(results, data, recipe), best_baseline(results, data)
    return Recommended(
        recipe=recipe,
        accuracy=mean(found, "test", "accuracy"),
        macro_f1=mean(found, "test", "macro_f1"),
        ece_before=found[0]["ece_before"],
        ece=Estimate(**found[0]["ece"]),
        baseline=baseline["name"] if baseline else None,
        against=paired(found[0], baseline, corpus) if baseline else None,
    )


def baselines(results: Results, data: str) -> list[Result]:
    return [baseline for found in runs(results, data, BASELINES) for baseline in found["baselines"]]


def best_baseline(results: Results, data: str) -> Result | None:
    """The best on the test part itself: to choose there can only be to a baseline's advantage."""
    return max(baselines(results, data), key=lambda found: found["test"]["macro_f1"], default=None)


def paired(one: Result, other: Result, corpus: Corpus) -> Comparison:
    """Both on the same draws of the test part."""
    return compare(_answers(one, "test", corpus), _answers(other, "test", corpus), seed=0)


def layers_compared(results: Results, data: str, corpus: Corpus) -> Comparison | None:
    """top:2 against full."""
    top, full = (runs(results, data, what) for what in ("top:2", "full"))
    return paired(top[0], full[0], corpus) if top and full else None


def _answers(found: Result, split: Split, corpus: Corpus) -> Answers:
    """A score of 1 for the label given."""
    labels = tuple(found["labels"])
    scores = np.eye(len(labels))[found[split]["given"]]
    return Answers(corpus.kind, labels, truth_of((e.labels for e in corpus.of(split)), labels), scores)
