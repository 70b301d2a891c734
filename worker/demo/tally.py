"""What came out of the worker, counted by the source coordinates that each record names."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import orjson

from schemas import headers
from worker.types import Record


class Coordinates(NamedTuple):
    """Where a record was in the input."""

    topic: str
    partition: int
    offset: int


class Cluster(NamedTuple):
    """What a result says of its cluster; `id` None is unassigned, `version` 0 is before the first table."""

    id: int | None
    name: str | None
    version: int


class Tagged(NamedTuple):
    """What the report needs of a result."""

    truth: str
    label: str
    score: float
    route: str
    cluster: Cluster
    text: str


class Tally:
    """Results and dead letters by source coordinates. `duplicated` counts records for coordinates already seen."""

    def __init__(self, dead_letter_topic: str) -> None:
        self.results: dict[Coordinates, Tagged] = {}
        self.reasons: dict[Coordinates, str] = {}
        self.latencies_s: dict[Coordinates, float] = {}
        self.duplicated = 0
        self.last_s = 0.0
        self._dead_letter_topic = dead_letter_topic

    def __len__(self) -> int:
        return len(self.latencies_s)

    def take(self, record: Record, arrived_s: float) -> None:
        """Count one output record that arrived at `arrived_s` (seconds since 1970)."""
        if record.topic == self._dead_letter_topic:
            coordinates, reason = _dead_letter(record)
            is_new = self._note(coordinates, record, arrived_s)
            if is_new:
                self.reasons[coordinates] = reason
            return
        coordinates, tagged = _result(record)
        if self._note(coordinates, record, arrived_s):
            self.results[coordinates] = tagged

    def lost(self, sent: frozenset[Coordinates]) -> int:
        """How many of the records sent have not come out."""
        return len(sent - self.latencies_s.keys())

    def counts_by_topic(self) -> Counter[str]:
        """Records that came out on each topic."""
        routes = Counter(tagged.route for tagged in self.results.values())
        return routes + Counter({self._dead_letter_topic: len(self.reasons)})

    def _note(self, coordinates: Coordinates, record: Record, arrived_s: float) -> bool:
        if coordinates in self.latencies_s:
            self.duplicated += 1
            return False
        self.latencies_s[coordinates] = arrived_s - (record.timestamp_ms or 0) / 1000
        self.last_s = arrived_s
        return True


def _dead_letter(record: Record) -> tuple[Coordinates, str]:
    found = {header.key: (header.value or b"").decode() for header in record.headers}
    place = found[headers.SOURCE_TOPIC], int(found[headers.SOURCE_PARTITION]), int(found[headers.SOURCE_OFFSET])
    return Coordinates(*place), found[headers.ERROR_REASON]


def _result(record: Record) -> tuple[Coordinates, Tagged]:
    value: dict[str, Any] = orjson.loads(record.value or b"")
    source, cluster = value["source"], value["clusters"][0]
    tagged = Tagged(
        truth=value["metadata"]["truth"],
        label=value["label"],
        score=value["score"],
        route=value["route"],
        cluster=Cluster(cluster["id"], cluster["name"], cluster["version"]),
        text=value["text"],
    )
    return Coordinates(source["topic"], source["partition"], source["offset"]), tagged
