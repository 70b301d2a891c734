"""An evaluation's plots, as SVG that needs nothing else; equal evaluations give equal bytes."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from worker.evaluation.calibration import Calibration
from worker.evaluation.coverage import Point
from worker.evaluation.outcome import Curve, Evaluation

# Text stays text: any script is shown by whoever opens the page, and matplotlib's own font lacks many.
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "tagstream", "text.parse_math": False, "font.size": 9}
SIZE = (4.4, 4.0)
MAX_NAMED = 12  # labels whose names and counts still fit into the matrix
WORD_JOINER = "\u2060"  # of no width
GREY, BLUE, RED = "#999999", "#1f5fa8", "#b3341f"


def draw(evaluation: Evaluation) -> dict[str, str]:
    """SVG by name, in the order of a page; only those that this evaluation has."""
    names = [label.label for label in evaluation.quality.labels]
    plots: dict[str, str] = {}
    if evaluation.quality.confusion is not None:
        plots["confusion"] = _svg(lambda axes: _confusion(axes, evaluation.quality.confusion or (), names))
    plots["reliability"] = _svg(lambda axes: _reliability(axes, evaluation.before, evaluation.after))
    plots["coverage"] = _svg(lambda axes: _coverage(axes, evaluation.coverage))
    if evaluation.curves:
        plots["roc"] = _svg(lambda axes: _roc(axes, evaluation.curves))
        plots["precision-recall"] = _svg(lambda axes: _precision_recall(axes, evaluation.curves))
    return plots


def _svg(fill: Callable[[Any], None]) -> str:
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure = Figure(figsize=SIZE, layout="tight")
        fill(figure.add_subplot())
        out = io.StringIO()
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None})
    picture = out.getvalue()
    return re.sub(r"\s*<metadata>.*?</metadata>", "", picture[picture.index("<svg") :], flags=re.DOTALL)


def _confusion(axes: Any, counts: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    """Shares of each true label, so that a rare one is seen as well as a frequent one."""
    shares = [[found / max(sum(row), 1) for found in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="given", ylabel="right")
    if len(names) > MAX_NAMED:
        return
    places = range(len(names))
    axes.set_xticks(places, [_short(name) for name in names], rotation=45, ha="right")
    axes.set_yticks(places, [_short(name) for name in names])
    for i, row in enumerate(counts):
        for j, found in enumerate(row):
            colour = "white" if shares[i][j] > 0.5 else "black"
            axes.text(j, i, f"{found:,}", ha="center", va="center", color=colour)


def _reliability(axes: Any, before: Calibration, after: Calibration) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    for found, colour, name in ((before, RED, "without temperature"), (after, BLUE, "with temperature")):
        x, y = [b.sureness for b in found.bins], [b.true for b in found.bins]
        axes.plot(x, y, color=colour, marker="o", markersize=3, label=f"{name}: ECE {found.ece.value:.3f}")
    axes.set(xlabel="score", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left", frameon=False)


def _coverage(axes: Any, points: Sequence[Point]) -> None:
    x = [point.share for point in points]
    low, high = [point.accuracy.low for point in points], [point.accuracy.high for point in points]
    axes.fill_between(x, low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(x, [point.accuracy.value for point in points], color=BLUE, marker="o", markersize=3)
    axes.set(xlabel="share of texts decided, surest first", ylabel="accuracy of those", xlim=(0, 1))


def _roc(axes: Any, curves: Sequence[Curve]) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    for curve in curves:
        axes.plot(*zip(*curve.roc, strict=True), linewidth=1.3, label=_short(curve.label))
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.01))
    axes.legend(loc="lower right", frameon=False)


def _precision_recall(axes: Any, curves: Sequence[Curve]) -> None:
    for curve in curves:
        axes.plot(*zip(*curve.precision_recall, strict=True), linewidth=1.3, label=_short(curve.label))
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
    axes.legend(loc="lower left", frameon=False)


def _short(name: str) -> str:
    """Of a label; matplotlib leaves names that begin with _ out of a legend, unless something is before it."""
    plain = "".join(c if c.isprintable() else "?" for c in name)
    shown = plain if len(plain) <= 18 else plain[:17] + "…"
    return f"{WORD_JOINER}{shown}" if shown.startswith("_") else shown
