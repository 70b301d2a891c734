"""Results as tables and targets (issue 6, "Measured")."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.engine_ways.tables import Table
from benchmarks.quality_cells.cells import BASELINES, HEADS, RECIPES, Cell, Result
from benchmarks.quality_cells.judging import (
    Results,
    baselines,
    choose,
    layers_compared,
    mean,
    recommended,
    runs,
)
from benchmarks.quality_cells.sets import FEW, Set
from worker.bench.targets import Target, at_least, at_most
from worker.evaluation.bootstrap import Comparison, Estimate
from worker.training.corpus import Corpus

MOST_ECE = 0.03

Cells = list[str | int | float | None]


def tables(results: Results, sets: Sequence[Set], corpora: Mapping[str, Corpus]) -> list[Table]:
    names = [one.name for one in sets]
    return [
        Table(
            "every recipe and every baseline on the test part; * what validation chooses",
            (
                "set, recipe",
                "accuracy",
                "macro-F1",
                "macro-F1 on validation",
                "seeds",
                "training, CPU s",
                "CPU ms a text",
            ),
            [row for name in names for row in _whole(results, name, corpora[name])],
        ),
        Table(
            "what validation chooses, and the best baseline of the test part; differences with 95 % intervals",
            ("set", "recipe", "accuracy", "best TF-IDF", "accuracy, over it", "macro-F1, over it", "ECE", "calibrated"),
            [row for name in names for row in _recommended(results, name, corpora[name])],
        ),
        Table(
            "few labels: macro-F1 by texts to train on, mean of the draws (lowest to highest)",
            ("set, texts", "best TF-IDF of the test part", *HEADS),
            [row for name in names for row in _few(results, name)],
        ),
        Table(
            "top:2 over full, with 95 % intervals",
            ("set", "accuracy", "macro-F1"),
            [row for name in names for row in _layers(results, name, corpora[name])],
        ),
    ]


def targets(results: Results, sets: Sequence[Set], corpora: Mapping[str, Corpus]) -> list[Target]:
    return [target for one in sets for target in _of_set(results, one, corpora[one.name])]


def _of_set(results: Results, one: Set, corpus: Corpus) -> Iterator[Target]:
    found = recommended(results, one.name, corpus)
    if one.goal:
        yield at_least(f"{one.name}: accuracy", found.accuracy if found else None, one.goal)
    yield _not_worse(f"{one.name}: macro-F1 over the best TF-IDF", found.against if found else None)
    yield at_most(f"{one.name}: low end of calibrated ECE, 90 %", found.ece.low if found else None, MOST_ECE)
    if one.tuned:
        yield _not_worse(f"{one.name}: macro-F1 of top:2 over full", layers_compared(results, one.name, corpus))


def _not_worse(name: str, found: Comparison | None) -> Target:
    """Worse is what chance does not explain."""
    return at_least(f"{name}, high end of 95 %", found.macro_f1.high if found else None, 0.0)


def _whole(results: Results, name: str, corpus: Corpus) -> Iterator[Cells]:
    for baseline in sorted(baselines(results, name), key=lambda one: -one["test"]["macro_f1"]):
        yield _line(f"{name}, TF-IDF of {baseline['name']}", [baseline], baseline["train_s"])
    chosen = choose(results, name, corpus)
    for recipe in RECIPES:
        if found := runs(results, name, recipe):
            spent = [run["train_cpu_s"] for run in found if "train_cpu_s" in run]
            mark = " *" if recipe == chosen else ""
            yield _line(f"{name}, {recipe}{mark}", found, statistics.fmean(spent) if spent else None)


def _line(name: str, found: Sequence[Result], trained_s: float | None) -> Cells:
    accuracy = mean(found, "test", "accuracy")
    measured = [mean(found, part, "macro_f1") for part in ("test", "valid")]
    return [name, accuracy, *measured, len(found), trained_s, found[0].get("cpu_ms_text")]


def _recommended(results: Results, name: str, corpus: Corpus) -> Iterator[Cells]:
    found = recommended(results, name, corpus)
    if found is None:
        return
    over = (
        [_points(getattr(found.against, figure)) for figure in ("accuracy", "macro_f1")]
        if found.against
        else [None] * 2
    )
    ece = f"{found.ece.value:.3f} ({found.ece.low:.3f} to {found.ece.high:.3f})"
    yield [name, found.recipe, found.accuracy, found.baseline, *over, f"{found.ece_before:.3f}", ece]


def _few(results: Results, name: str) -> Iterator[Cells]:
    for count in FEW:
        cells = [(cell, result) for cell, result in results.items() if (cell.data, cell.texts) == (name, count)]
        if cells:
            yield [f"{name}, {count}", *(_spread(cells, what) for what in (BASELINES, *HEADS))]


def _spread(cells: Sequence[tuple[Cell, Result]], what: str) -> str | None:
    reached = [_macro_f1(result) for cell, result in cells if cell.what == what]
    if not reached:
        return None
    return f"{statistics.fmean(reached):.3f} ({min(reached):.3f} to {max(reached):.3f})"


def _macro_f1(result: Result) -> float:
    """Of baselines the best."""
    return max(float(one["test"]["macro_f1"]) for one in result.get("baselines", [result]))


def _layers(results: Results, name: str, corpus: Corpus) -> Iterator[Cells]:
    found = layers_compared(results, name, corpus)
    if found is not None:
        yield [name, _points(found.accuracy), _points(found.macro_f1)]


def _points(found: Estimate) -> str:
    return f"{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
