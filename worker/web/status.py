"""What `/api/status` says, as a tree of plain values: the JSON has the same names. Unknown is null; times are seconds.

{"state": "running", "version": "0.1.0", "uptime_s": 12.5, "log_level": "info",
 "model": {"name", "revision", "device", "dtype", "parts": [{"names", "model", "layers", "computed", "packed",
           "why_padded"}]} | null,
 "partitions": [{"topic", "partition", "position", "lag_records", "lag_seconds"}],
 "rates": {"records_per_s"},
 "totals": {"consumed", "processed", "dead_letters": {reason: n}, "by_label": {label: n}, "by_route": {topic: n}},
 "stages": {"infer": {"p50_s", "p99_s", "busy_share"}, ...},
 "clusters": {"table", "version", "unassigned_share", "top": [{"id", "name", "count"}]} | null}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from worker.types import EnginePart

State = Literal["starting", "running", "paused", "recovering", "draining", "stopped"]


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """The first classifier's model (the encoder, where there is none), and all models that a pass computes."""

    name: str
    revision: str
    device: str
    dtype: str
    parts: tuple[EnginePart, ...] = ()


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """An assigned partition; `position` is the next offset to commit."""

    topic: str
    partition: int
    position: int | None
    lag_records: int | None
    lag_seconds: float | None


@dataclass(frozen=True, slots=True)
class Rates:
    """Of the last half minute or so."""

    records_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Totals:
    """Since the start of the process."""

    consumed: int = 0
    processed: int = 0
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    by_label: Mapping[str, int] = field(default_factory=dict)
    by_route: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageStatus:
    """A stage's time for one batch, and the share of the time that it was at work."""

    p50_s: float | None
    p99_s: float | None
    busy_share: float | None


@dataclass(frozen=True, slots=True)
class ClusterCount:
    id: int
    name: str | None
    count: int


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    table: str
    version: int
    unassigned_share: float | None
    top: tuple[ClusterCount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The whole answer."""

    state: State
    version: str
    uptime_s: float
    log_level: str = "info"
    model: ModelStatus | None = None
    partitions: tuple[PartitionStatus, ...] = ()
    rates: Rates = field(default_factory=Rates)
    totals: Totals = field(default_factory=Totals)
    stages: Mapping[str, StageStatus] = field(default_factory=dict)
    clusters: ClusterStatus | None = None

    def to_json(self) -> bytes:
        """ASCII JSON, whatever is in the labels; a number that is not finite is null."""
        return json.dumps(asdict(self, dict_factory=_finite), separators=(",", ":"), allow_nan=False).encode()


def _finite(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in items}
