"""When to call a worker stuck, so that its supervisor starts it again. Time and observations are passed in.

Two rules: there is work within reach and no position moves, or one stage has not moved for its deadline.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.types import Partition


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The policy. `stall_s` is time without progress in which no stage was at work on the same batch throughout."""

    stall_s: float
    stage_deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the loop sees at one tick.

    `positions` holds the delivered position of every assigned partition, None where it is not known yet.
    `stable_ends` is where a read-committed reader has to stop: the last stable offset; absent where not known.
    `busy_since` holds for each stage now at work when it took up its batch, on the clock of `Watchdog.verdict`.
    """

    positions: Mapping[Partition, int | None] = field(default_factory=dict)
    stable_ends: Mapping[Partition, int] = field(default_factory=dict)
    brokers_reachable: bool = True
    paused: bool = False
    busy_since: Mapping[str, float] = field(default_factory=dict)

    @property
    def at_rest(self) -> bool:
        """Nothing can be expected to move: no partitions, no brokers, or an operator said so."""
        return not self.positions or not self.brokers_reachable or self.paused

    @property
    def work_in_reach(self) -> bool:
        """Some partition has records before its stable offset; beyond it an open transaction holds them back."""
        return any(
            position is None or position < self.stable_ends.get(partition, position)
            for partition, position in self.positions.items()
        )


class Watchdog:
    """The state between ticks. One thread."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._last_tick_s: float | None = None
        self._rested_until_s = float("-inf")
        self._reached: dict[Partition, int | None] = {}
        self._stalled_s = 0.0

    def verdict(self, now_s: float, seen: Observation) -> str | None:
        """Why the worker is stuck, in one line, or None. Call it every few seconds."""
        tick_s, self._last_tick_s = self._last_tick_s, now_s
        moved = self._note_positions(seen.positions)
        if seen.at_rest:
            self._rested_until_s = now_s
        if seen.at_rest or moved or not seen.work_in_reach or tick_s is None:
            self._stalled_s = 0.0
        elif not any(since <= tick_s for since in seen.busy_since.values()):
            self._stalled_s += now_s - tick_s
        return None if seen.at_rest else self._stuck_stage(now_s, seen.busy_since) or self._stall(seen)

    def _note_positions(self, positions: Mapping[Partition, int | None]) -> bool:
        """Whether anything got further than ever under this assignment; a rewind is no progress."""
        if positions.keys() != self._reached.keys():
            self._reached = dict(positions)
            return True
        moved = False
        for partition, position in positions.items():
            before = self._reached[partition]
            if position is not None and (before is None or position > before):
                self._reached[partition] = position
                moved = True
        return moved

    def _stuck_stage(self, now_s: float, busy_since: Mapping[str, float]) -> str | None:
        """A stage may wait for brokers as long as it takes, so time at rest does not count."""
        limit_s = self._deadlines.stage_deadline_s
        for stage, since_s in busy_since.items():
            busy_s = now_s - max(since_s, self._rested_until_s)
            if busy_s >= limit_s:
                return (
                    f"stage {stage} has worked on one batch for {busy_s:.0f} s (delivery.stage_deadline_s {limit_s:g})"
                )
        return None

    def _stall(self, seen: Observation) -> str | None:
        if self._stalled_s < self._deadlines.stall_s:
            return None
        behind = sum(1 for p, at in seen.positions.items() if at is None or at < seen.stable_ends.get(p, at))
        return f"no position moved for {self._stalled_s:.0f} s although {behind} partitions have records to read"


def dump_stacks() -> str:
    """The stack of every thread: files, lines and functions only, as local variables hold texts of messages."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():
        lines = [f"  {f.filename}:{f.lineno} {f.name}" for f in traceback.extract_stack(frame)]
        parts.append("\n".join([f"thread {names.get(ident, ident)}:", *lines]))
    return "\n".join(parts)
