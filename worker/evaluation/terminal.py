"""An evaluation as text of 80 columns, verdict first; and, for eyes only, the errors that the model was surest of."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from worker.evaluation.answers import Answers
from worker.evaluation.outcome import Evaluation, LabelQuality
from worker.evaluation.wording import FIGURES, confused, span, temperature_name, threshold_lines

WIDTH = 80
MAX_LABELS = 20  # rows of a table that still fit a screen: the worst ones
MAX_CONFUSION = 8  # labels of a square table in 80 columns


def render(evaluation: Evaluation) -> str:
    """All of it; ends with a line break."""
    return _text(_blocks(evaluation))


def render_errors(texts: Sequence[str], answers: Answers, count: int) -> str:
    """The wrong texts that the model was surest of, one a line. Shows texts: not for logs and files."""
    wrong = np.flatnonzero(~answers.right)
    surest = wrong[np.argsort(-answers.sureness[wrong], kind="stable")][:count]
    table = _table("given", "right", ">sure", "text", title=f"{len(surest)} of {len(wrong)} errors, surest first")
    for column, width in zip(table.columns, (12, 12, 5), strict=False):
        column.min_width = width  # else a long text would leave them nothing
    for i in surest.tolist():
        sure = f"{answers.sureness[i]:.3f}"
        table.add_row(_names(answers, answers.given[i]), _names(answers, answers.truth[i]), sure, plain(texts[i], 200))
    return _text([table])


def plain(text: str, longest: int = 24) -> Text:
    """One line, and nothing in it that a terminal would obey."""
    line = " ".join(_printable(text).split())
    return Text(line if len(line) <= longest else line[: longest - 1] + "…", overflow="ellipsis", no_wrap=True)


def worst(labels: Sequence[LabelQuality], count: int) -> list[LabelQuality]:
    """The labels of lowest F1, in their own order; those that do not occur are left out first."""
    there = [label for label in labels if label.f1 is not None]
    chosen = sorted(there, key=lambda label: label.f1.value if label.f1 else 0.0)[:count]
    return [label for label in there if label in chosen]


def _blocks(evaluation: Evaluation) -> Iterator[RenderableType]:
    facts = evaluation.facts
    yield Text(evaluation.verdict, style="bold")
    parts = ", ".join(f"{name} {count:,}" for name, count in facts.texts.items())
    yield Text(f"model {facts.model} ({facts.revision}) on {facts.data}, {facts.split} part; texts: {parts}")
    left_out = {**facts.dropped, **({"the model could not read": facts.unread} if facts.unread else {})}
    if left_out:
        yield Text("left out: " + ", ".join(f"{reason} {count:,}" for reason, count in left_out.items()))
    yield _figures(evaluation)
    yield _labels(evaluation)
    yield from _mistakes(evaluation)
    yield _calibration(evaluation)
    yield _coverage(evaluation)
    yield from (Text(f"{_printable(line)}\n") for line in threshold_lines(evaluation))
    yield _slices(evaluation)
    if evaluation.baselines:
        yield _baselines(evaluation)


def _figures(evaluation: Evaluation) -> Table:
    table = _table("figure", ">value (95 %)", title="Quality")
    for name, title in FIGURES.items():
        table.add_row(title, span(evaluation.quality.figures.get(name)))
    return table


def _labels(evaluation: Evaluation) -> Table:
    labels = evaluation.quality.labels
    shown = worst(labels, MAX_LABELS)
    title = "By label" if len(shown) == len(labels) else f"By label, the {len(shown)} worst of {len(labels)}"
    table = _table("label", ">texts", ">precision", ">recall", ">F1 (95 %)", ">ROC", ">PR", title=title)
    for label in shown:
        rates = (f"{rate.value:.3f}" if rate else "–" for rate in (label.precision, label.recall))
        ends = (f"{area:.3f}" if area is not None else "–" for area in (label.roc_auc, label.pr_auc))
        table.add_row(plain(label.label, 20), f"{label.support:,}", *rates, span(label.f1), *ends)
    return table


def _mistakes(evaluation: Evaluation) -> Iterator[Table]:
    counts, labels = evaluation.quality.confusion, evaluation.quality.labels
    if counts is not None and len(labels) <= MAX_CONFUSION:
        columns = [plain(label.label, 8).plain for label in labels]
        table = _table("right \\ given", *(f">{name}" for name in columns), title="Confusion")
        for label, row in zip(labels, counts, strict=True):
            table.add_row(plain(label.label, 16), *(f"{found:,}" for found in row))
        yield table
    elif counts is not None:
        table = _table("right", "given", ">texts", title="Most frequent mistakes")
        for right, given, found in confused(evaluation):
            table.add_row(plain(right), plain(given), f"{found:,}")
        yield table


def _calibration(evaluation: Evaluation) -> Table:
    table = _table("", ">ECE (90 %)", ">NLL", ">Brier", title="Calibration")
    for name, found in (("without temperature", evaluation.before), (temperature_name(evaluation), evaluation.after)):
        table.add_row(name, span(found.ece), f"{found.nll:.4f}", f"{found.brier:.4f}")
    return table


def _coverage(evaluation: Evaluation) -> Table:
    table = _table(">surest", ">score from", ">accuracy (95 %)", title="Coverage: the rest goes to review")
    for point in evaluation.coverage:
        table.add_row(f"{point.share:.0%}", f"{point.above:.3f}", span(point.accuracy))
    return table


def _slices(evaluation: Evaluation) -> Table:
    table = _table(">characters", ">texts", ">accuracy (95 %)", ">macro F1 (95 %)", title="By length")
    for part in evaluation.slices:
        length = f"{part.shortest:,}–{part.longest:,}"
        table.add_row(length, f"{part.texts:,}", span(part.accuracy), span(part.macro_f1))
    return table


def _baselines(evaluation: Evaluation) -> Table:
    table = _table("TF-IDF of", "with", ">accuracy", ">macro F1 (95 %)", ">ECE", title="Baselines")
    own = ("–", "this model", evaluation.quality.figures, evaluation.after.ece)
    for features, name, figures, ece in (own, *((b.features, b.name, b.figures, b.ece) for b in evaluation.baselines)):
        accuracy, error = (f"{found.value:.3f}" if found else "–" for found in (figures["accuracy"], ece))
        table.add_row(features, name, accuracy, span(figures["macro_f1"]), error)
    return table


def _names(answers: Answers, row: Sequence[bool] | np.ndarray) -> Text:
    return plain(", ".join(answers.labels[i] for i in np.flatnonzero(row)) or "none", 12)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _table(*columns: str, title: str) -> Table:
    """A title of columns; those that begin with > are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        number = name.startswith(">")
        table.add_column(Text(name.removeprefix(">")), justify="right" if number else "left", no_wrap=True)
    return table


def _text(blocks: Iterator[RenderableType] | Sequence[RenderableType]) -> str:
    out = io.StringIO()
    console = Console(file=out, width=WIDTH, highlight=False, markup=False, emoji=False, color_system=None)
    for block in blocks:
        console.print(block)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
