"""Recipes side by side on the validation part, and which of them to take: what costs more has to prove more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from worker.evaluation.answers import Answers
from worker.evaluation.bootstrap import Estimate, compare
from worker.evaluation.wording import points

# Of macro-F1, for a whole forward pass a text more at run time; where the validation part is so small that chance alone
# does more, that much. A part of a pass has to bring its part of it, and what costs no pass any gain at all.
TOLERANCE = 0.01

TITLES = ("recipe", "macro-F1", "to the first", "accuracy", "trained", "passes", "a text")


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """What a model says of a split's texts before its temperature."""

    answers: Answers
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """A recipe and what came of it on the validation part: no figures if it was left out, and `note` says why.

    `passes` are forward passes a text at run time, that of the clusters' encoder among them; `text_s` is what they
    take. `gain` is the macro-F1 over the first recipe's, paired. `seconds` of training hold all that it needs.
    """

    recipe: str
    passes: float
    text_s: float
    macro_f1: float | None = None
    accuracy: float | None = None
    gain: Estimate | None = None
    seconds: float | None = None
    note: str = ""
    chosen: bool = False


def choose(passes: Sequence[float], valid: Sequence[Answered], *, seed: int) -> int:
    """Which recipe to take, of some that are given cheapest first."""
    best = 0
    for place in range(1, len(passes)):
        found = difference(valid[place], valid[best], seed=seed)
        price = max(TOLERANCE, (found.high - found.low) / 2)
        if found.value > price * max(0.0, passes[place] - passes[best]):
            best = place
    return best


def difference(one: Answered, other: Answered, *, seed: int) -> Estimate:
    """In macro-F1, on the texts that both could read; those of a fine-tuning come in another order."""
    places = {text: place for place, text in enumerate(other.texts)}
    common = [(place, places[text]) for place, text in enumerate(one.texts) if text in places]
    rows = np.asarray(common, np.intp).reshape(-1, 2)
    return compare(one.answers.of(rows[:, 0]), other.answers.of(rows[:, 1]), seed=seed).macro_f1


def table(compared: Sequence[Compared]) -> Iterator[tuple[str, ...]]:
    """The rows under `TITLES`, the chosen one marked."""
    for one in compared:
        name = f"{one.recipe}{' *' if one.chosen else ''}"
        figures = ["–" if value is None else f"{value:.3f}" for value in (one.macro_f1, one.accuracy)]
        gain = "–" if one.gain is None else points(one.gain).replace(" points", "")
        trained = "–" if one.seconds is None else length(one.seconds)
        yield (name, figures[0], gain, figures[1], trained, f"{one.passes:.2f}", f"{1000 * one.text_s:.2f} ms")


def notes(compared: Sequence[Compared]) -> Iterator[str]:
    """What the table does not say."""
    yield from (f"{one.recipe}: {one.note}" for one in compared if one.note)
    yield (
        f"* taken. What costs more at run time has to be better: by {100 * TOLERANCE:g} point of macro-F1 for each pass"
        " more, or by what chance alone may do where that is larger"
    )


def length(seconds: float) -> str:
    """For people: 48 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
