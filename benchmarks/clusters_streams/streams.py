"""Simulated streams: which texts come, in which order, at what times. The same seed gives the same stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FAST_MS = 200  # from text to text, where the time of day does not matter
STRETCH = 100  # texts that are drawn by the same weights

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Text number `order[i]` of a set comes at `times_ms[i]`. A class is away once it was silent for `away_ms`."""

    name: str
    order: NDArray[np.intp]
    times_ms: NDArray[np.int64]
    away_ms: int | None


@dataclass(frozen=True, slots=True)
class Kind:
    """`presence` of the classes, each with a place in [0, 1), given the progress in [0, 1) and the time in days.

    `days` 0: texts come fast, and what changes is measured in texts. `away_ms`: see `Stream`.
    """

    presence: Callable[[Numbers, float, float], Numbers]
    days: int = 0
    away_ms: int | None = None


def _new(places: Numbers, progress: float, _: float) -> Numbers:
    """Half of the classes from the start, the others one by one until 60 % of the stream."""
    return (progress >= np.maximum(places - 0.5, 0) * 1.2).astype(float)


def _gradual(places: Numbers, progress: float, _: float) -> Numbers:
    """Each class swells and fades around its own time."""
    return np.exp(-(((progress - places) / 0.35) ** 2)) + 0.02


def _vanish(places: Numbers, progress: float, _: float) -> Numbers:
    """Half of the classes stay, the others go one by one between 20 % and 70 %."""
    return ((places < 0.5) | (progress <= places - 0.3)).astype(float)


def _blocks(places: Numbers, progress: float, _: float) -> Numbers:
    """A quarter of the classes in each quarter of the stream."""
    return (np.floor(places * 4) == np.floor(progress * 4)).astype(float)


def _day_and_night(places: Numbers, _: float, days: float) -> Numbers:
    return ((places < 0.5) == (days % 1 < 0.5)).astype(float)


def _weekly(places: Numbers, _: float, days: float) -> Numbers:
    """A quarter of the classes comes on one day of the week only."""
    rare = np.arange(len(places)) % 7 == int(days) % 7
    return np.where(places < 0.75, 1.0, rare * 3.0)


KINDS = {
    "still": Kind(lambda places, _progress, _days: np.ones_like(places)),
    "new": Kind(_new),
    "gradual": Kind(_gradual),
    "vanish": Kind(_vanish),
    "blocks": Kind(_blocks),
    "day and night": Kind(_day_and_night, days=14, away_ms=6 * HOUR_MS),
    "weekly": Kind(_weekly, days=35, away_ms=2 * DAY_MS),
}


def draw(name: str, classes: NDArray[np.intp], length: int, seed: int) -> Stream:
    """A class comes as often as it has texts, times its presence; no text twice before all others of its class."""
    kind, random = KINDS[name], np.random.default_rng(seed)
    sizes = np.bincount(classes)
    places = random.permutation(len(sizes)) / len(sizes)
    step_ms = kind.days * DAY_MS / length if kind.days else FAST_MS
    times_ms = (np.arange(length) * step_ms).astype(np.int64)
    coming = np.empty(length, dtype=np.intp)
    for first in range(0, length, STRETCH):
        weights = sizes * kind.presence(places, first / length, times_ms[first] / DAY_MS)
        stretch = coming[first : first + STRETCH]
        stretch[:] = random.choice(len(sizes), size=len(stretch), p=weights / weights.sum())
    order = np.empty(length, dtype=np.intp)
    for one in range(len(sizes)):
        turns = np.flatnonzero(coming == one)
        order[turns] = np.resize(random.permutation(np.flatnonzero(classes == one)), len(turns))
    return Stream(name, order, times_ms, kind.away_ms)
