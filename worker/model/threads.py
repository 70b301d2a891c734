"""How many CPU threads a forward pass may use."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def cpu_threads(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP) -> int:
    """Whole CPUs that this process may keep busy: its affinity, or less by a cgroup quota; at least 1.

    More threads than the quota has CPUs get the whole process throttled. `root` and `own` are for tests.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _folders(root, own) if (quota := _quota(folder)) is not None]
    return max(1, int(min([allowed, *quotas])))


def _folders(root: Path, own: Path) -> list[Path]:
    """The process's control group and those above it, as any of them may hold a quota (v2, and v1 in containers)."""
    folders = [root, root / "cpu"]
    for line in (_read(own) or "").splitlines():
        if line.startswith("0::"):
            path = root / line.removeprefix("0::").strip().lstrip("/")
            folders += [folder for folder in (path, *path.parents) if folder.is_relative_to(root)]
    return folders


def _quota(folder: Path) -> float | None:
    """CPUs by quota and period, None where there is no limit."""
    both = _read(folder / "cpu.max") or f"{_read(folder / 'cpu.cfs_quota_us')} {_read(folder / 'cpu.cfs_period_us')}"
    try:
        quota, period = (int(part) for part in both.split())
    except ValueError:  # "max 100000", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return None
