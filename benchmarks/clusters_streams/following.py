"""One way along one stream: what each text was given before it was learned, and what that is worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.clusters_streams.measures import accuracy, adjusted_rand, lost_while_away, meaning, mutual_information
from benchmarks.clusters_streams.sets import Embedded
from benchmarks.clusters_streams.streams import Stream
from benchmarks.clusters_streams.ways import STEP, WARM_UP, Ids, Way
from worker.clusters.recipe import Recipe

PROBES = 1000  # texts, the same all along, whose ids are compared from version to version
WINDOW = 2000  # texts that are scored together

Scores = dict[str, float]


@dataclass(slots=True)
class Trace:
    """Of the texts after the warm-up; `changed` has a number for each step, `stale_agrees` for all but the first."""

    ids: Ids
    near: NDArray[np.bool_]
    changed: list[float] = field(default_factory=list)
    stale_agrees: list[float] = field(default_factory=list)


def follow(way: Way, data: Embedded, stream: Stream) -> Trace:
    """Each step's texts get ids first, then they are learned."""
    rows, times_ms = data.rows[stream.order], stream.times_ms
    probes = data.rows[np.random.default_rng(0).choice(len(data.rows), PROBES)]
    way.learn(rows[:WARM_UP], times_ms[:WARM_UP])
    ids, near, before = [], [], way.assign(probes).ids
    trace = Trace(np.zeros(0, np.intp), np.zeros(0, bool))
    for first in range(WARM_UP, len(rows), STEP):
        part = slice(first, first + STEP)
        given = way.assign(rows[part])
        ids.append(given.ids)
        near.append(given.near)
        if first > WARM_UP:
            trace.stale_agrees.append(float((given.told == way.stale(rows[part]).told).mean()))
        way.learn(rows[part], times_ms[part])
        now = way.assign(probes).ids
        trace.changed.append(float((now != before).mean()))
        before = now
    trace.ids, trace.near = np.concatenate(ids), np.concatenate(near)
    return trace


def scores(trace: Trace, way: Way, data: Embedded, stream: Stream) -> Scores:
    learned = len(trace.ids)
    return {
        **agreement(trace.ids, data.classes[stream.order][WARM_UP:]),
        "id changed": float(np.mean(trace.changed)),
        "events/1,000": len(way.events) / learned * 1000,
        "unassigned": 1 - float(trace.near.mean()),
        "stale agrees": float(np.mean(trace.stale_agrees)),
        "lost": lost_while_away(way.events, trace.ids, data.classes, stream, Recipe().dormant_after_ms),
    }


def agreement(ids: Ids, classes: Ids) -> Scores:
    """With the classes: of windows in the later half of the stream, and what ids meant all along."""
    later = [(classes[part], ids[part]) for part in _windows(len(ids) // 2, len(ids))]
    return {
        "NMI": float(np.mean([mutual_information(*pair) for pair in later])),
        "ARI": float(np.mean([adjusted_rand(*pair) for pair in later])),
        "ACC": float(np.mean([accuracy(*pair) for pair in later])),
        "meaning": meaning([(classes[part], ids[part]) for part in _windows(0, len(ids))]),
        "ids/class": len(np.unique(ids)) / len(np.unique(classes)),
    }


def _windows(start: int, end: int) -> Iterator[slice]:
    """Whole ones, the last of them ending at the end."""
    first = end - (end - start) // WINDOW * WINDOW
    return (slice(begin, begin + WINDOW) for begin in range(first, end, WINDOW))
