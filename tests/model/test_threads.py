"""CPU quotas."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.model import threads


@pytest.fixture
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(16)))


def _cgroup(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="ascii")
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, 16, id="no cgroups"),
        pytest.param({"cpu.max": "max 100000\n"}, 16, id="no limit"),
        pytest.param({"cpu.max": "400000 100000\n"}, 4, id="v2 container"),
        pytest.param({"cpu.max": "150000 100000\n"}, 1, id="part of a cpu"),
        pytest.param({"cpu.max": "50000 100000\n"}, 1, id="less than one"),
        pytest.param(
            {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3, id="limit above the own group"
        ),
        pytest.param({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2, id="v1"),
        pytest.param({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 16, id="v1 no limit"),
    ],
)
@pytest.mark.usefixtures("many_cpus")
def test_the_quota_limits_the_threads(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    """Whole CPUs of the smallest quota on the way to the root, at least one."""
    own = tmp_path / "own"
    own.write_text("0::/a/b\n", encoding="ascii")
    assert threads.cpu_threads(_cgroup(tmp_path / "root", files), own) == expected
