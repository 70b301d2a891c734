"""What an evaluation found, as plain frozen values: the one source of its JSON, its terminal text and its page.

No text of the data is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from worker.evaluation.answers import Kind
from worker.evaluation.bootstrap import Comparison, Estimate
from worker.evaluation.calibration import Calibration
from worker.evaluation.coverage import Point
from worker.evaluation.slices import Slice
from worker.evaluation.thresholds import OwnThreshold, Threshold

TemperatureFrom = Literal["model", "validation", "nowhere"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was evaluated on what. `fingerprint` is of the whole corpus, `revision` of the model's files.

    `dropped` counts what reading left out, by reason; `unread` are texts that the model could not read. `temperature`
    and `thresholds`, by label, are what the model was given when it was trained.
    """

    model: str
    revision: str
    kind: Kind
    data: str
    fingerprint: str
    split: str
    texts: Mapping[str, int]
    dropped: Mapping[str, int]
    unread: int = 0
    temperature: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabelQuality:
    """One label: `support` texts have it, `given` get it. No figure where neither is more than 0."""

    label: str
    support: int
    given: int
    precision: Estimate | None
    recall: Estimate | None
    f1: Estimate | None
    roc_auc: float | None
    pr_auc: float | None


@dataclass(frozen=True, slots=True)
class Quality:
    """`figures` by name: accuracy, macro and weighted precision, recall and f1, roc_auc, pr_auc.

    `confusion` counts [true label][given label]; `multi` has none.
    """

    figures: Mapping[str, Estimate]
    labels: tuple[LabelQuality, ...]
    confusion: tuple[tuple[int, ...], ...] | None


@dataclass(frozen=True, slots=True)
class Curve:
    """Of one label, thinned for drawing: points of the ROC (false and true positive rate) and of recall, precision."""

    label: str
    roc: tuple[tuple[float, float], ...]
    precision_recall: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class BaselineQuality:
    """A baseline on the same test texts. `valid_macro_f1` chose its strength; `ece` where it has probabilities."""

    name: str
    features: str
    strength: float
    seconds: float
    valid_macro_f1: float
    figures: Mapping[str, Estimate]
    ece: Estimate | None


@dataclass(frozen=True, slots=True)
class Against:
    """The model against the best baseline."""

    name: str
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All of it. `verdict` is the first line; `before` is calibration without, `after` with `temperature`.

    That is the model's own, else one fitted on validation; 1 where there is neither. Coverage and thresholds are on
    calibrated scores. `seed` is the bootstrap's.
    """

    verdict: str
    facts: Facts
    quality: Quality
    temperature: float
    temperature_from: TemperatureFrom
    before: Calibration
    after: Calibration
    coverage: tuple[Point, ...]
    thresholds: tuple[Threshold, ...]
    own_thresholds: tuple[OwnThreshold, ...]
    slices: tuple[Slice, ...]
    curves: tuple[Curve, ...]
    baselines: tuple[BaselineQuality, ...]
    against: Against | None
    seed: int
