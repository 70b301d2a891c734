"""How many records to poll next, so that a batch takes about the target time in the model."""

from __future__ import annotations

from dataclasses import dataclass

FEWEST = 16  # below it a packed pass wastes the machine
MEMORY = 0.3  # weight of the newest batch in the running rate


@dataclass(frozen=True, slots=True)
class Sizing:
    """Bounds of a batch."""

    target_s: float
    max_records: int


class BatchSizer:
    """Steers the size by the rate of the last batches. Starts small; one thread writes, any reads."""

    def __init__(self, sizing: Sizing) -> None:
        self._sizing = sizing
        self._records_per_s: float | None = None

    @property
    def records(self) -> int:
        if self._records_per_s is None:
            return min(256, self._sizing.max_records)
        wanted = int(self._records_per_s * self._sizing.target_s)
        return max(1, min(self._sizing.max_records, max(FEWEST, wanted)))

    def observe(self, records: int, seconds: float) -> None:
        """A batch of so many records took so long."""
        if records < 1:
            return
        rate = records / max(seconds, 1e-6)
        known = self._records_per_s
        self._records_per_s = rate if known is None else known + MEMORY * (rate - known)
