"""How good the models are that `tagstream train` makes, beside TF-IDF: accuracy, calibration, few labels, cost.

`python -m benchmarks.quality --cache DIR [--multilingual DIR] [--quick] [--no-layers] [--report] [--json] [SET ...]`.
TAGSTREAM_DATA names the folder of labelled texts with splits. Recipes are chosen on the validation part; each trained
model looks at the test part once. Results are kept in DIR/quality.jsonl: a run that was interrupted goes on there.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from worker.bench.machine import describe_machine
from worker.bench.report import as_object, lines
from worker.bench.targets import table
from worker.bench.texts import FOLDER_VARIABLE
from worker.cli.options import print_json
from worker.errors import TagstreamError

if TYPE_CHECKING:
    from benchmarks.quality_cells.cells import Kept
    from benchmarks.quality_cells.sets import Set

MULTILINGUAL_VARIABLE = "TAGSTREAM_MULTILINGUAL"


def main() -> int:
    arguments = _arguments()
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        _say(f"skipped: {FOLDER_VARIABLE} names no folder of labelled texts")
        return 0
    from worker import app, logs

    logs.configure("warning", "console")
    app.settle_environment()
    machine = describe_machine(forward_threads=0)
    from benchmarks.quality_cells.cells import Kept, chosen_sets
    from benchmarks.quality_cells.sets import read_set
    from benchmarks.quality_cells.tables import tables, targets

    sets = _there(chosen_sets(arguments.sets, quick=arguments.quick), Path(folder), arguments.multilingual)
    arguments.cache.mkdir(parents=True, exist_ok=True)
    kept = Kept(arguments.cache / "quality.jsonl")
    if not arguments.report:
        _measure(sets, kept, Path(folder), arguments)
    corpora = {one.name: read_set(Path(folder), one.name) for one in sets}
    shown, reached = tables(kept.all(), sets, corpora), targets(kept.all(), sets, corpora)
    if arguments.json:
        print_json(as_object(machine, reached, {one.title: one.as_objects() for one in shown}))
    else:
        print("\n".join([*lines(machine, [], {}), *(line for one in shown for line in (*one.lines(), ""))]))
        print("\n".join(table(reached)))
    return 0


def _there(sets: Sequence[Set], folder: Path, multilingual: str | None) -> list[Set]:
    """Those whose texts and encoder are at hand; of the others it says what is missing."""
    found = []
    for one in sets:
        if not (folder / f"{one.name}.jsonl").exists():
            _say(f"{one.name} is left out: {FOLDER_VARIABLE} has no {one.name}.jsonl")
        elif one.multilingual and not multilingual:
            _say(
                f"{one.name} is left out: it needs --multilingual DIR (or {MULTILINGUAL_VARIABLE}),"
                " the transformers folder of a multilingual encoder, such as multilingual-e5-small"
            )
        else:
            found.append(one)
    return found


def _measure(sets: Sequence[Set], kept: Kept, folder: Path, arguments: argparse.Namespace) -> None:
    from benchmarks.quality_cells.cells import cells
    from benchmarks.quality_cells.measuring import Measuring, bases_of
    from worker.cli.training import Terminal

    bases = bases_of(arguments.multilingual)
    measuring = Measuring(data=folder, cache=arguments.cache, bases=bases, progress=Terminal())
    wanted = cells(sets, quick=arguments.quick, layers=not arguments.no_layers)
    for number, cell in enumerate(wanted, 1):
        made_from = measuring.made_from(cell)
        if kept.get(cell, made_from) is not None:
            continue
        began_s = time.monotonic()
        result = measuring.measure(cell)
        if result is not None:
            kept.add(cell, made_from, result)
        _say(f"{number} of {len(wanted)}: {cell}: {time.monotonic() - began_s:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help="only these")
    parser.add_argument("--cache", type=Path, required=True, metavar="DIR", help="of embeddings and results")
    parser.add_argument(
        "--multilingual",
        default=os.environ.get(MULTILINGUAL_VARIABLE),
        metavar="DIR",
        help=f"the encoder for languages other than English; default: {MULTILINGUAL_VARIABLE}",
    )
    parser.add_argument("--quick", action="store_true", help="heads on three sets: minutes, once embeddings are cached")
    parser.add_argument("--no-layers", action="store_true", help="without top:2 and full, which take the longest")
    parser.add_argument("--report", action="store_true", help="measure nothing: tell what the results so far say")
    parser.add_argument("--json", action="store_true", help="print one object")
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TagstreamError as error:
        sys.exit(f"benchmarks.quality: {error}")
