"""Looks at a running pipeline from a thread of its own: records committed, CPU by thread, memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from worker.types import Partition

LOOK_S = 0.02
WARM_UP = 0.1  # of the records: joining the group and the first fetches are behind us


class Watched(Protocol):
    committed: dict[Partition, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """What was true when more records had been committed. `cpu_s` is the process's, `threads_s` each thread's."""

    at_s: float
    records: int
    cpu_s: float
    threads_s: Mapping[str, float]
    resident_bytes: int | None


class Watch:
    """A context manager around the run; its input begins at offset 0, so that what is committed is a count."""

    def __init__(self, pipeline: Watched) -> None:
        self._pipeline = pipeline
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="bench-watch", daemon=True)
        self.samples: list[Sample] = []

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_S):
            records = sum(self._pipeline.committed.copy().values())
            if not self.samples or records > self.samples[-1].records:
                self.samples.append(take(records))


def take(records: int) -> Sample:
    return Sample(time.perf_counter(), records, time.process_time(), _threads(), resident_bytes())


def steady(samples: Sequence[Sample]) -> tuple[Sample, Sample]:
    """The samples between which the pipeline was warm. Raises `ValueError` where nothing happened between them."""
    warm = [s for s in samples if s.records and s.records >= WARM_UP * samples[-1].records]
    if len(warm) < 2:
        raise ValueError("too few records for a rate")
    return warm[0], warm[-1]


def growth(samples: Sequence[Sample]) -> float | None:
    """Resident memory of the last quarter over that of the second, less one; medians."""
    sizes = [s.resident_bytes for s in samples if s.resident_bytes is not None]
    quarter = len(sizes) // 4
    if not quarter:
        return None
    before, after = sorted(sizes[quarter : 2 * quarter]), sorted(sizes[-quarter:])
    return after[len(after) // 2] / before[len(before) // 2] - 1.0


def resident_bytes(statm: Path = Path("/proc/self/statm")) -> int | None:
    """None where the system does not say."""
    try:
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def _threads() -> dict[str, float]:
    """CPU seconds by thread name, threads of one name together; those that are not Python's are left out."""
    found: dict[str, float] = {}
    for thread in threading.enumerate():
        try:
            seconds = time.clock_gettime(_cpu_clock(thread.native_id or 0))
        except OSError:  # it has just ended, or the system has no such clocks
            continue
        found[thread.name] = found.get(thread.name, 0.0) + seconds
    return found


def _cpu_clock(native_id: int) -> int:
    """Linux's clock of a thread; unlike `pthread_getcpuclockid` harmless for a thread that is no more."""
    return ~native_id << 3 | 6
