"""Runs trials, each in a process of its own, in turn: a busy minute then slows all that is compared alike."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import from_json

from worker.bench.trial import Request
from worker.errors import Stop

TIMEOUT_S = 900.0

Figures = dict[str, Any]
Say = Callable[[str], None]


def run(request: Request) -> Figures:
    """One trial. Raises `Stop` with the last line it said."""
    command = [sys.executable, "-m", "worker.bench.trial"]
    try:
        done = subprocess.run(command, input=request.model_dump_json().encode(), capture_output=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise Stop(f"a measurement took more than {TIMEOUT_S:g} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Stop(f"a measurement failed: {said[-1] if said else f'exit code {done.returncode}'}")
    figures: Figures = from_json(done.stdout.splitlines()[-1])
    return figures


def in_turn(
    requests: Mapping[str, Request], rounds: int, say: Say, run: Callable[[Request], Figures] = run
) -> dict[str, list[Figures]]:
    """All requests, so many times over; the figures of each in the order of the rounds."""
    found: dict[str, list[Figures]] = {name: [] for name in requests}
    for number in range(1, rounds + 1):
        for name, request in requests.items():
            say(f"{name}, {number} of {rounds}")
            found[name].append(run(request))
    return found


def median(figures: list[Figures], key: str) -> float:
    return float(statistics.median(f[key] for f in figures))


def ratio(over: list[Figures], under: list[Figures], over_key: str, under_key: str) -> float:
    """The median of the rounds' ratios: of each round, as its two trials ran next to each other."""
    return float(statistics.median(o[over_key] / u[under_key] for o, u in zip(over, under, strict=True)))
