"""Texts a second of the model alone and beside a busy process, by how long torch's threads wait for each other.

`python -m benchmarks.crowded [MODEL]`, a few minutes; a folder or `minilm`. On a CPU whose cores the worker has to
share (a broker, another worker, a reader) a thread that turns in a loop until another is done takes what both need.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.bench.texts import FOLDER_VARIABLE, load_texts
from worker.model.child import SPINS

ROUNDS = 3
SIZES = {1: 64, 32: 256, 256: 512}  # texts of a batch, and of a trial
WAYS: dict[str, dict[str, str]] = {
    "libgomp's default": {},
    f"GOMP_SPINCOUNT={SPINS} (ours)": {"GOMP_SPINCOUNT": SPINS},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
}


def main() -> None:
    if sys.argv[1:2] == ["--trial"]:
        print(*_trial(sys.argv[2]))
        return
    model = (sys.argv[1:] or ["minilm"])[0]
    found: dict[tuple[str, bool], list[list[float]]] = {}
    for number in range(1, ROUNDS + 1):
        for way, variables in WAYS.items():
            for busy in (False, True):
                print(f"{way}, {'beside a busy process' if busy else 'alone'}, round {number}", file=sys.stderr)
                with _neighbour(busy):
                    found.setdefault((way, busy), []).append(_ask(model, variables))
    print(f"texts a second, medians of {ROUNDS}; {os.cpu_count()} cores, {model}\n")
    print("| waiting | beside it | " + " | ".join(f"batches of {size}" for size in SIZES) + " |")
    print("|---|---|" + "---|" * len(SIZES))
    for (way, busy), trials in found.items():
        medians = [f"{statistics.median(column):.0f}" for column in zip(*trials, strict=True)]
        print(f"| {way} | {'a busy process' if busy else 'nothing'} | {' | '.join(medians)} |")


def _ask(model: str, variables: dict[str, str]) -> list[float]:
    """A trial in a process of its own: libgomp reads them once."""
    left = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, "-m", "benchmarks.crowded", "--trial", model]
    done = subprocess.run(command, env=left | variables, stdout=subprocess.PIPE, text=True, check=True)
    return [float(value) for value in done.stdout.split()]


@contextmanager
def _neighbour(busy: bool) -> Iterator[None]:
    if not busy:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def _trial(model: str) -> list[float]:
    from worker.model.assembly import load_engine
    from worker.model.recipe import ClassifierRecipe, EngineRecipe

    engine = load_engine(EngineRecipe(classifiers=(ClassifierRecipe("default", model),)))
    folder = os.environ.get(FOLDER_VARIABLE)
    texts = load_texts(Path(folder) if folder else None, max(SIZES.values()))
    rates = []
    for size, count in SIZES.items():
        batches = [engine.tokenize(texts[i : i + size]) for i in range(0, count, size)]
        engine.infer(batches[0])
        began_s = time.perf_counter()
        for batch in batches:
            engine.infer(batch)
        rates.append(count / (time.perf_counter() - began_s))
    return rates


if __name__ == "__main__":
    main()
