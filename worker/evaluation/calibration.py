"""Do scores mean what they say? Temperature scaling, and the expected calibration error before and after it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.answers import Answers, Flags, Kind, Numbers
from worker.evaluation.bootstrap import Estimate, estimates

BINS = 15
ECE_LEVEL = 0.90
# Beyond these a validation part is too small or too easy to tell: one without an error asks for endless sharpness.
SHARPEST, SOFTEST = 0.2, 10.0
# Beside the texts at hand so many count whose scores came true as they are: 8 or 50 texts without an error do not show
# that all scores may be sharpened. Of 5 to 80 it cost least on drawn texts; from 150 texts on it hardly counts.
PRIOR_TEXTS = 10.0
STEPS = 60  # halvings: more than a float64 has bits
LEAST = 1e-38  # of a probability, as float32 has it
LEAST_DOUBT = 1e-9  # that a `multi` score of 1.0 is taken to leave


@dataclass(frozen=True, slots=True)
class Bin:
    """Claims of scores above `low` up to `high`: how sure they were on average, and how many came true."""

    low: float
    high: float
    claims: int
    sureness: float
    true: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """`ece` with its 90 % interval, negative log-likelihood and Brier score of a text, and the reliability table."""

    ece: Estimate
    nll: float
    brier: float
    bins: tuple[Bin, ...]


def logits_of(kind: Kind, scores: NDArray[np.floating]) -> Numbers:
    """What gives these probabilities by softmax (up to a shift, which it ignores) or by sigmoid."""
    exact = np.asarray(scores, np.float64)
    if kind == "single":
        return np.asarray(np.log(np.maximum(exact, LEAST)))
    clipped = np.clip(exact, LEAST, 1 - LEAST_DOUBT)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def tempered(answers: Answers, temperature: float) -> Answers:
    """The same answers with their logits divided by the temperature; no text gets another label by it."""
    logits = logits_of(answers.kind, answers.scores) / temperature
    return replace(answers, scores=_probabilities(answers.kind, logits))


def fit_temperature(answers: Answers, *, prior: float = PRIOR_TEXTS) -> float:
    """The temperature of least negative log-likelihood, for a part that the model was not trained on.

    `prior` texts more are taken to have come true as often as they score. The likelihood is convex in 1/temperature, so
    its slope says on which side the best one lies.
    """
    logits = logits_of(answers.kind, answers.scores)
    texts = len(logits)
    wanted = (texts * answers.truth + prior * _probabilities(answers.kind, logits)) / (texts + prior)
    low, high = 1 / SOFTEST, 1 / SHARPEST
    for _ in range(STEPS):
        middle = (low + high) / 2
        rising = _slope(answers.kind, logits, wanted, middle) > 0
        low, high = (low, middle) if rising else (middle, high)
    return 2 / (low + high)


def calibration_of(answers: Answers, *, seed: int) -> Calibration:
    """A claim is the best score of a `single` text; of a `multi` one each label's score is."""
    sureness, true = _claims(answers)
    places = np.clip(np.ceil(sureness * BINS).astype(np.intp) - 1, 0, BINS - 1)
    gaps = np.stack([((sureness - true) * (places == b)).sum(axis=1) for b in range(BINS)], axis=1)

    def error(weights: Numbers) -> dict[str, Numbers]:
        claims = weights.sum(axis=1) * sureness.shape[1]
        return {"ece": np.abs(weights @ gaps).sum(axis=1) / claims}

    return Calibration(
        ece=estimates(error, len(sureness), seed=seed, level=ECE_LEVEL, reflect=True)["ece"],
        nll=_nll(answers),
        brier=float(((answers.scores - answers.truth) ** 2).sum(axis=1).mean()),
        bins=tuple(_bin(b, sureness[places == b], true[places == b]) for b in range(BINS) if (places == b).any()),
    )


def _claims(answers: Answers) -> tuple[Numbers, Flags]:
    """Scores claimed, and whether they came true, both [n, claims of a text]."""
    if answers.kind == "multi":
        return answers.scores, answers.truth
    return answers.sureness[:, None], answers.right[:, None]


def _bin(place: int, sureness: Numbers, true: Flags) -> Bin:
    return Bin(place / BINS, (place + 1) / BINS, len(sureness), float(sureness.mean()), float(true.mean()))


def _nll(answers: Answers) -> float:
    scores, truth = np.clip(answers.scores, LEAST, 1.0), answers.truth
    hits = -np.log(scores[truth]).sum()
    misses = -np.log(np.maximum(1 - scores[~truth], LEAST_DOUBT)).sum() if answers.kind == "multi" else 0.0
    return float((hits + misses) / len(truth))


def _probabilities(kind: Kind, logits: Numbers) -> Numbers:
    if kind == "multi":
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-logits)))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _slope(kind: Kind, logits: Numbers, wanted: Numbers, sharpness: float) -> float:
    """Of the negative log-likelihood by 1/temperature; the same for softmax and sigmoid."""
    return float(((_probabilities(kind, logits * sharpness) - wanted) * logits).sum())
