"""How many CPU threads a forward pass may use."""

from __future__ import annotations

import os
from pathlib import Path

from worker.model.cgroup import CGROUP_ROOT, OWN_CGROUP, folders, read


def cpu_threads(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP) -> int:
    """Whole CPUs that this process may keep busy: its affinity, or less by a cgroup quota; at least 1.

    More threads than the quota has CPUs get the whole process throttled. `root` and `own` are for tests.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in folders("cpu", root, own) if (quota := _quota(folder)) is not None]
    return max(1, int(min([allowed, *quotas])))


def _quota(folder: Path) -> float | None:
    """CPUs by quota and period, None where there is no limit."""
    both = read(folder / "cpu.max") or f"{read(folder / 'cpu.cfs_quota_us')} {read(folder / 'cpu.cfs_period_us')}"
    try:
        quota, period = (int(part) for part in both.split())
    except ValueError:  # "max 100000", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None
