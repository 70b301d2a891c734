"""What a cluster table is made by: the learner's numbers, as one value."""

from __future__ import annotations

from dataclasses import dataclass

HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Recipe:
    """The learner's parameters. `table` is the table's name; a warm-up shorter than `k` is raised to `k`.

    `count_cap`: above it a centre would follow its topic ever more slowly. The window of a refresh holds up to
    `window` samples, spread over the last `window_ms`, or older ones too where these are fewer; a split must gain
    `swap_ratio` times what it costs elsewhere. A cluster is retired at the earliest `dormant_after_ms` after its last
    text, and gets a new id where the cosine to its first centre falls under `drift_cosine`. Times are the samples' own.
    """

    table: str = "default"
    k: int = 32
    warmup: int = 2000
    unassigned_quantile: float = 0.05
    seed: int = 0
    count_cap: int = 200
    window: int = 4000
    window_ms: int = DAY_MS
    swap_ratio: float = 3.0
    dormant_after_ms: int = 14 * DAY_MS
    drift_cosine: float = 0.7
    names: bool = True
