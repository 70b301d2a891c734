"""The engine against what could stand in its place, and against the machine's limit.

`python -m benchmarks.engine [--quick] [--json] [--device cuda] [--threads N]`. It needs no broker. TAGSTREAM_DATA names
a folder of JSON lines with a `text` field; without it texts are made up. Peers are the extra `bench`; where they are
not installed their rows say so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.bench.machine import describe_machine
from worker.bench.report import as_object, lines
from worker.bench.targets import table
from worker.bench.texts import FOLDER_VARIABLE
from worker.cli.options import print_json
from worker.errors import TagstreamError

if TYPE_CHECKING:
    from benchmarks.engine_ways.comparisons import Findings

PEER = "sentence-transformers"


def main() -> int:
    arguments = _arguments()
    reason = _missing(arguments.device)
    if reason:
        print(f"skipped: {reason}", file=sys.stderr)
        return 0
    machine = _machine(arguments.device, arguments.threads)
    from benchmarks.engine_ways.tables import tables, targets

    found = _measure(arguments)
    reached, shown = targets(found, arguments.device), tables(found)
    if arguments.json:
        print_json(as_object(machine, reached, {one.title: one.as_objects() for one in shown}))
    else:
        print("\n".join([*lines(machine, [], {}), *(line for one in shown for line in (*one.lines(), ""))]))
        print("\n".join(table(reached)))
    return 0


def _measure(arguments: argparse.Namespace) -> Findings:
    from benchmarks.engine_ways.comparisons import QUICK, THOROUGH, Comparisons
    from benchmarks.engine_ways.models import write_models
    from benchmarks.engine_ways.questions import Setup
    from benchmarks.engine_ways.ways import OURS

    effort = QUICK if arguments.quick else THOROUGH
    folder = os.environ.get(FOLDER_VARIABLE)
    with tempfile.TemporaryDirectory(prefix="tagstream-bench-") as directory:
        models = Path(directory)
        _say("writing the models")
        write_models(models, large=arguments.device != "cpu")
        setup = Setup(
            way=OURS,
            models=models,
            device=arguments.device,
            folder=Path(folder) if folder else None,
            texts=effort.texts,
            threads=arguments.threads,
        )
        return Comparisons(setup=setup, effort=effort, say=_say).run_all()


def _machine(device: str, threads: int) -> dict[str, Any]:
    machine = describe_machine(forward_threads=threads)
    with contextlib.suppress(metadata.PackageNotFoundError):
        machine["versions"][PEER] = metadata.version(PEER)
    return machine if device == "cpu" else machine | _card()


def _card() -> dict[str, Any]:
    import torch

    return {"card": torch.cuda.get_device_name(), "cuda": torch.version.cuda, "model": "BERT-base, random, bfloat16"}


def _missing(device: str) -> str | None:
    """Why nothing can be measured there."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return "torch sees no CUDA card, so nothing was measured on one"
    return None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under five minutes")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="of a forward pass; 0: the CPU quota")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="a card computes a BERT-base in bf16")
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TagstreamError as error:
        sys.exit(f"benchmarks.engine: {error}")
