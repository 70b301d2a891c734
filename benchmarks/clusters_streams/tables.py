"""Figures as tables and targets (issue 7, "Measured")."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.clusters_streams.following import Scores
from benchmarks.clusters_streams.ways import ORACLE, OURS, PLAIN
from benchmarks.engine_ways.tables import Table
from worker.bench.targets import Target, at_least, at_most

COLUMNS = ("NMI", "ARI", "ACC", "meaning", "id changed", "events/1,000", "ids/class", "unassigned", "stale agrees")
FAST = {64: 5.0}  # us a text, by k
COMING_BACK = ("day and night", "weekly")


@dataclass(frozen=True, slots=True)
class Row:
    """Of one way along one stream of a set, by one seed."""

    data: str
    stream: str
    way: str
    seed: int
    scores: Scores


class Means:
    """Over the seeds; None where nothing was measured."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._found: dict[tuple[str, str, str, str], list[float]] = {}
        for row in rows:
            for measure, value in row.scores.items():
                self._found.setdefault((row.data, row.stream, row.way, measure), []).append(value)

    def of(self, data: str, stream: str, way: str, measure: str) -> float | None:
        values = self._found.get((data, stream, way, measure))
        return statistics.fmean(values) if values else None

    def over(self, data: str, stream: str, way: str, measure: str) -> float | None:
        """Ours over that way's."""
        ours, other = (self.of(data, stream, one, measure) for one in (OURS, way))
        return None if ours is None or not other else ours / other

    def above(self, data: str, stream: str, way: str, measure: str) -> float | None:
        """Ours less that way's."""
        ours, other = (self.of(data, stream, one, measure) for one in (OURS, way))
        return None if ours is None or other is None else ours - other


def tables(rows: Sequence[Row], speed: Mapping[int, float]) -> list[Table]:
    means = Means(rows)
    shown = [_streams(means, rows, data) for data in dict.fromkeys(row.data for row in rows)]
    return [*shown, Table("assign, us of CPU time a text", ("k", "us"), [(k, us) for k, us in speed.items()])]


def targets(rows: Sequence[Row], speed: Mapping[int, float]) -> list[Target]:
    """Of the streams that were measured, then those of the assignment alone."""
    means = Means(rows)
    told = [
        one
        for data, stream in dict.fromkeys((row.data, row.stream) for row in rows)
        for one in _of_stream(means, data, stream)
    ]
    return [*told, *(at_most(f"assign, us a text, k={k}", speed.get(k), bound) for k, bound in FAST.items())]


def _streams(means: Means, rows: Sequence[Row], data: str) -> Table:
    pairs = dict.fromkeys((row.stream, row.way) for row in rows if row.data == data)
    cells = [(stream, way, *(means.of(data, stream, way, one) for one in COLUMNS)) for stream, way in pairs]
    return Table(data, ("stream", "way", *COLUMNS), cells)


def _of_stream(means: Means, data: str, stream: str) -> Iterator[Target]:
    name, at = f"{data}, {stream}", (data, stream)
    if stream == "still":
        yield at_least(f"{name}: NMI / {ORACLE}", means.over(*at, ORACLE, "NMI"), 0.95)
        yield at_least(f"{name}: ACC / {ORACLE}", means.over(*at, ORACLE, "ACC"), 0.93)
        yield at_most(f"{name}: events/1,000", means.of(*at, OURS, "events/1,000"), 0.2)
        yield at_least(f"{name}: meaning less that of {PLAIN}", means.above(*at, PLAIN, "meaning"), 0)
        yield at_most(f"{name}: false rejections", means.of(*at, OURS, "unassigned"), 0.1)
        yield at_least(f"{name}: a stale replica agrees", means.of(*at, OURS, "stale agrees"), 0.98)
    elif stream == "new":
        yield at_least(f"{name}: NMI / {ORACLE}", means.over(*at, ORACLE, "NMI"), 0.85)
        yield at_least(f"{name}: NMI less that of {PLAIN}", means.above(*at, PLAIN, "NMI"), 0.03)
        yield at_least(f"{name}: meaning", means.of(*at, OURS, "meaning"), 0.7)
    elif stream == "gradual":
        yield at_least(f"{name}: NMI / {ORACLE}", means.over(*at, ORACLE, "NMI"), 0.85)
    elif stream in COMING_BACK:
        yield at_most(f"{name}: ids lost that come back", means.of(*at, OURS, "lost"), 0)
