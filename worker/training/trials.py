"""The trials of a search, kept as they end: JSON lines, and a plot of them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from worker.training.options import FineTuning

STYLE = {"svg.fonttype": "none", "svg.hashsalt": "tagstream", "font.size": 9}
SIZE = (9.0, 2.8)
BLUE, RED = "#1f5fa8", "#b3341f"


@dataclass(frozen=True, slots=True)
class Trial:
    """What was tried, and the macro-F1 on the validation part that came of it. `top` None: all layers were trained.

    Not `whole`: the time was up before it had ended.
    """

    number: int
    top: int | None
    options: FineTuning
    macro_f1: float
    seconds: float
    whole: bool


def best_of(trials: Sequence[Trial]) -> Trial:
    """The first of the best; one that was cut short only where there is no other."""
    return max(trials, key=lambda trial: (trial.whole, trial.macro_f1, -trial.number))


def read_trials(file: Path) -> list[Trial]:
    """Those that have ended; half a last line is what an interruption leaves."""
    if not file.exists():
        return []
    lines = [line for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    rows = map(json.loads, lines)
    return [Trial(**(row | {"options": FineTuning(**row["options"])})) for row in rows]


def write_trials(file: Path, trials: Sequence[Trial]) -> None:
    """All of them, whole or not at all."""
    half = file.with_suffix(".half")
    half.write_text("".join(json.dumps(asdict(trial)) + "\n" for trial in trials), encoding="utf-8")
    half.rename(file)


def plot(trials: Sequence[Trial], layers: int) -> str:
    """SVG: macro-F1 by each of the values that were tried; the best in red. `layers` is how many the base has."""
    best = best_of(trials)
    values: dict[str, list[float]] = {
        "learning rate": [trial.options.learning_rate for trial in trials],
        "epochs": [trial.options.epochs for trial in trials],
        "layers trained": [layers if trial.top is None else trial.top for trial in trials],
        "weight decay": [trial.options.weight_decay for trial in trials],
    }
    colours = [RED if trial is best else BLUE for trial in trials]
    with rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="tight")
        for place, (name, x) in enumerate(values.items(), 1):
            axes = figure.add_subplot(1, len(values), place)
            axes.scatter(x, [trial.macro_f1 for trial in trials], c=colours, s=18)
            axes.set(xlabel=name, ylabel="macro-F1, validation" if place == 1 else "")
            if name in ("learning rate", "weight decay") and min(x) > 0:
                axes.set_xscale("log")
        out = io.StringIO()
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None})
    return out.getvalue()
