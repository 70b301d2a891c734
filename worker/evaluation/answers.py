"""What a classifier says of texts whose labels are known: the one value that every measure reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["single", "multi"]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Of n texts: `truth` bool and `scores` float64, both [n, labels].

    `single` texts have one true label and are given the best; `multi` ones have any number and are given every label
    whose score is above `cut`. Scores that are not `probable` only rank: margins, larger where the model is surer.
    """

    kind: Kind
    labels: tuple[str, ...]
    truth: Flags
    scores: Numbers
    probable: bool = True
    cut: float = 0.5

    @property
    def given(self) -> Flags:
        """The labels that the texts get, bool [n, labels]."""
        if self.kind == "multi":
            return np.asarray(self.scores > self.cut)
        best = self.scores.argmax(axis=1)
        return np.asarray(best[:, None] == np.arange(len(self.labels)))

    @property
    def right(self) -> Flags:
        """Texts that get exactly their labels, bool [n]."""
        return np.asarray((self.given == self.truth).all(axis=1))

    @property
    def sureness(self) -> Numbers:
        """How sure of a text's labels as a whole, [n]: its best score; of `multi` the least sure of its labels."""
        if self.kind == "single":
            return np.asarray(self.scores.max(axis=1))
        return np.asarray(np.abs(self.scores - self.cut).min(axis=1) + self.cut)

    def of(self, rows: NDArray[np.intp] | Flags) -> Answers:
        """The same of some of the texts."""
        return replace(self, truth=self.truth[rows], scores=self.scores[rows])


def truth_of(named: Iterable[Sequence[str]], labels: Sequence[str]) -> Flags:
    """Labels by name as bool [n, labels]; names that are not in `labels` raise `KeyError`."""
    places = {label: place for place, label in enumerate(labels)}
    rows = [[places[name] for name in names] for names in named]
    truth = np.zeros((len(rows), len(places)), np.bool_)
    for row, given in zip(truth, rows, strict=True):
        row[given] = True
    return truth
