"""An evaluation as one HTML file: tables and plots in it, no text of the data, nothing fetched from anywhere."""

from __future__ import annotations

import base64
from importlib import resources

from jinja2 import Environment, StrictUndefined

from worker.evaluation.outcome import Evaluation
from worker.evaluation.plots import draw
from worker.evaluation.wording import FIGURES, confused, points, span, temperature_name, threshold_lines

CAPTIONS = {
    "confusion": "Confusion: what texts of each label are given; darker is a larger share of the row.",
    "reliability": "Reliability: of texts with a score, how many are right. On the line, scores mean what they say.",
    "coverage": "Coverage: accuracy if only the surest texts are decided and the rest is reviewed.",
    "roc": "ROC of the labels that are hardest to tell.",
    "precision-recall": "Precision and recall of the same labels.",
}


def page(evaluation: Evaluation) -> str:
    """The whole document."""
    template = resources.files("worker.evaluation").joinpath("page.html").read_text(encoding="utf-8")
    # A picture of its own keeps each plot's ids and styles apart from the others'.
    plots = {name: base64.b64encode(svg.encode()).decode() for name, svg in draw(evaluation).items()}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        e=evaluation,
        plots=plots,
        captions=CAPTIONS,
        figures=FIGURES,
        span=span,
        points=points,
        temperature=temperature_name(evaluation),
        mistakes=confused(evaluation),
        thresholds=threshold_lines(evaluation),
    )
