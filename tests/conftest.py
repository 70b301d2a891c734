"""How the tests share a machine: one thread for each pass of a model, and what takes long begins first.

`make test` runs them in several processes (pytest-xdist), each file in one of them, with brokers of its own.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

LONG = ("examples", "kafka", "e2e", "cli", "training", "model")  # of `tests/`: begun in this order, the rest after them


def pytest_configure() -> None:
    """Before anything imports torch, and for processes that tests start: tiny models lose by a second thread.

    A limit, not a number of threads: what a worker sets for itself is still what it would set anywhere.
    """
    os.environ.setdefault("OMP_THREAD_LIMIT", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # No limits of time: a machine may be busy.
    settings.register_profile("busy", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy")


def pytest_xdist_auto_num_workers() -> int:
    """One more than the CPUs, as tests on Kafka mostly wait; no more than memory and brokers are there for."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cpus + 1, 8)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In several processes, none of them is left alone with a long file at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _rank(item.path.parent.name))


def _rank(directory: str) -> int:
    return LONG.index(directory) if directory in LONG else len(LONG)
