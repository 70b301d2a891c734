"""The same figures on parts of the texts: short ones and long ones are seldom equally easy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.answers import Answers
from worker.evaluation.bootstrap import Estimate, estimates
from worker.evaluation.measures import profile

PARTS = 4


@dataclass(frozen=True, slots=True)
class Slice:
    """Texts of `shortest` to `longest` characters; no F1 where they have no label and get none."""

    shortest: int
    longest: int
    texts: int
    accuracy: Estimate
    macro_f1: Estimate | None


def by_length(answers: Answers, lengths: NDArray[np.intp], *, seed: int) -> tuple[Slice, ...]:
    """Up to four parts with about as many texts each, shortest first; texts of equal length are in the same one."""
    inner = np.unique(np.quantile(lengths, np.arange(1, PARTS) / PARTS, method="inverted_cdf"))
    places = np.searchsorted(inner, lengths)
    return tuple(_slice(answers.of(places == p), lengths[places == p], seed) for p in np.unique(places).tolist())


def _slice(answers: Answers, lengths: NDArray[np.intp], seed: int) -> Slice:
    found = estimates(lambda weights: profile(answers, weights), len(lengths), seed=seed)
    return Slice(
        shortest=int(lengths.min()),
        longest=int(lengths.max()),
        texts=len(lengths),
        accuracy=found["accuracy"],
        macro_f1=found.get("macro_f1"),
    )
