"""What the validation part says of trained scores: how sure they should be, and from where on they are sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.evaluation.answers import Answers
from worker.evaluation.calibration import fit_temperature, tempered
from worker.evaluation.thresholds import Target, Threshold, choose


@dataclass(frozen=True, slots=True)
class Calibrated:
    """`temperature` is to be folded into the weights (divide the last layer's weight and bias by it).

    None: there was no validation part. `thresholds` are on the scores that the model gives after that.
    """

    temperature: float | None
    thresholds: tuple[Threshold, ...] = ()


def calibrate(valid: Answers | None, targets: Sequence[Target]) -> Calibrated:
    """From answers of the untempered model."""
    if valid is None:
        return Calibrated(None)
    temperature = fit_temperature(valid)
    calm = tempered(valid, temperature)
    return Calibrated(temperature, tuple(choose(target, calm) for target in targets))
