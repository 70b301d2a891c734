"""What the figures were measured on. Figures of two machines, or of two versions, are not to be compared."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from worker import __version__
from worker.model.threads import cpu_threads

LIBRARIES = ("kafka-python", "numpy", "pydantic-core", "tokenizers", "torch", "transformers")


def describe_machine(forward_threads: int) -> dict[str, Any]:
    """`forward_threads` is the setting `model.threads`; 0 stands for the quota. Imports none of the libraries."""
    return {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "cpu_quota": cpu_threads(),
        "forward_threads": forward_threads or cpu_threads(),
        "switch_interval_s": sys.getswitchinterval(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": {"tagstream": __version__, "python": platform.python_version(), **_versions()},
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def _processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
