"""Answers to an `Evaluation`: what is measured, on which part, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from worker.evaluation.answers import Answers, Numbers
from worker.evaluation.baseline import Baseline, best_of
from worker.evaluation.bootstrap import Estimate, compare, estimates
from worker.evaluation.calibration import calibration_of, fit_temperature, tempered
from worker.evaluation.coverage import coverage_of
from worker.evaluation.measures import areas, by_label, confusion, macro_areas, profile
from worker.evaluation.outcome import (
    Against,
    BaselineQuality,
    Curve,
    Evaluation,
    Facts,
    LabelQuality,
    Quality,
    TemperatureFrom,
)
from worker.evaluation.slices import by_length
from worker.evaluation.thresholds import Target, Threshold, choose, own_thresholds
from worker.evaluation.wording import verdict

MAX_CURVES = 8  # more lines in one plot are not told apart
CURVE_POINTS = 60
AREA_DRAWS = 200  # each sorts nothing anew, but adds up every label of every text


def evaluate(
    *,
    facts: Facts,
    valid: Answers | None,
    test: Answers,
    lengths: Sequence[int],
    baselines: Sequence[Baseline] = (),
    targets: Sequence[Target] = (),
    seed: int = 0,
) -> Evaluation:
    """All measures on `test`; thresholds, and a temperature where the model has none, are fitted on `valid`.

    Scores are the model's without its temperature; `lengths` are the test texts', in characters. Without `valid`
    nothing is fitted, and `targets` are passed over.
    """
    temperature, origin = _temperature(facts, valid)
    calm = tempered(test, temperature)
    quality = quality_of(test, seed=seed)
    against = _against(test, best_of(baselines), seed)
    return Evaluation(
        verdict=verdict(quality, against),
        facts=facts,
        quality=quality,
        temperature=temperature,
        temperature_from=origin,
        before=calibration_of(test, seed=seed),
        after=calibration_of(calm, seed=seed),
        coverage=coverage_of(calm, seed=seed),
        thresholds=_thresholds(targets, valid, calm, temperature),
        own_thresholds=own_thresholds(facts.thresholds, calm),
        slices=by_length(test, np.asarray(lengths, np.intp), seed=seed),
        curves=_curves(test, quality.labels),
        baselines=tuple(_baseline(baseline, seed) for baseline in baselines),
        against=against,
        seed=seed,
    )


def quality_of(answers: Answers, *, seed: int) -> Quality:
    """Every figure of classification, with its interval."""
    counts = confusion(answers)
    return Quality(
        figures=_figures(answers, seed),
        labels=_labels(answers, seed),
        confusion=None if counts is None else tuple(map(tuple, counts.tolist())),
    )


def _temperature(facts: Facts, valid: Answers | None) -> tuple[float, TemperatureFrom]:
    if facts.temperature is not None:
        return facts.temperature, "model"
    return (1.0, "nowhere") if valid is None else (fit_temperature(valid), "validation")


def _thresholds(
    targets: Sequence[Target], valid: Answers | None, calm: Answers, temperature: float
) -> tuple[Threshold, ...]:
    if valid is None:
        return ()
    calm_valid = tempered(valid, temperature)
    return tuple(choose(target, calm_valid, calm) for target in targets)


def _figures(answers: Answers, seed: int) -> dict[str, Estimate]:
    n = len(answers.truth)
    shares = estimates(lambda weights: profile(answers, weights), n, seed=seed)
    return shares | estimates(lambda weights: macro_areas(answers, weights), n, seed=seed, draws=AREA_DRAWS)


def _labels(answers: Answers, seed: int) -> tuple[LabelQuality, ...]:
    names = ("precision", "recall", "f1")

    def measure(weights: Numbers) -> dict[str, Numbers]:
        rates = zip(names, by_label(answers, weights), strict=True)
        return {f"{name} {i}": rate[:, i] for name, rate in rates for i in range(len(answers.labels))}

    found = estimates(measure, len(answers.truth), seed=seed)
    roc, pr = areas(answers, np.ones((1, len(answers.truth))))
    return tuple(
        LabelQuality(
            label=label,
            support=int(answers.truth[:, i].sum()),
            given=int(answers.given[:, i].sum()),
            precision=found.get(f"precision {i}"),
            recall=found.get(f"recall {i}"),
            f1=found.get(f"f1 {i}"),
            roc_auc=_number(roc[0, i]),
            pr_auc=_number(pr[0, i]),
        )
        for i, label in enumerate(answers.labels)
    )


def _baseline(baseline: Baseline, seed: int) -> BaselineQuality:
    return BaselineQuality(
        name=baseline.name,
        features=baseline.features,
        strength=baseline.strength,
        seconds=baseline.seconds,
        valid_macro_f1=baseline.macro_f1,
        figures=_figures(baseline.test, seed),
        ece=calibration_of(baseline.test, seed=seed).ece if baseline.test.probable else None,
    )


def _against(test: Answers, best: Baseline | None, seed: int) -> Against | None:
    if best is None:
        return None
    return Against(f"TF-IDF of {best.features} with {best.name}", compare(test, best.test, seed=seed))


def _curves(answers: Answers, labels: Sequence[LabelQuality]) -> tuple[Curve, ...]:
    """Of the labels that are hardest, where there are many. Of two exclusive labels the rarer tells all."""
    drawn = [i for i, label in enumerate(labels) if label.roc_auc is not None]
    if answers.kind == "single" and len(drawn) == 2:
        drawn = [min(drawn, key=lambda i: labels[i].support)]
    hardest = sorted(drawn, key=lambda i: labels[i].pr_auc or 0.0)[:MAX_CURVES]
    return tuple(_curve(labels[i].label, answers.truth[:, i], answers.scores[:, i]) for i in sorted(hardest))


def _curve(label: str, truth: NDArray[np.bool_], scores: Numbers) -> Curve:
    false_rate, true_rate, _ = roc_curve(truth, scores)
    precision, recall, _ = precision_recall_curve(truth, scores)
    return Curve(label, _thinned(false_rate, true_rate), _thinned(recall, precision))


def _thinned(x: Numbers, y: Numbers) -> tuple[tuple[float, float], ...]:
    places = np.unique(np.linspace(0, len(x) - 1, CURVE_POINTS).round().astype(np.intp))
    return tuple((round(float(x[i]), 5), round(float(y[i]), 5)) for i in places)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
