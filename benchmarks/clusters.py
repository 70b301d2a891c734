"""Clusters along simulated streams, beside scikit-learn as it comes and a k-means that knows the future.

`python -m benchmarks.clusters --cache DIR [--quick] [--json] [--seeds N] [STREAM ...]`. It needs no broker.
TAGSTREAM_DATA names the folder of labelled texts. Embeddings are kept in DIR.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from worker.bench.machine import describe_machine
from worker.bench.report import as_object, lines
from worker.bench.targets import table
from worker.bench.texts import FOLDER_VARIABLE
from worker.cli.options import print_json
from worker.errors import TagstreamError

if TYPE_CHECKING:
    from benchmarks.clusters_streams.sets import Embedded
    from benchmarks.clusters_streams.tables import Row

LENGTH, QUICK_LENGTH = 20_000, 10_000  # texts of a stream
LIBRARY = "scikit-learn"


def main() -> int:
    arguments = _arguments()
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        _say(f"skipped: {FOLDER_VARIABLE} names no folder of labelled texts")
        return 0
    from threadpoolctl import threadpool_limits

    from worker import app, logs

    logs.configure("warning", "console")
    app.settle_environment()
    machine = describe_machine(forward_threads=0)
    machine["versions"][LIBRARY] = metadata.version(LIBRARY)
    from benchmarks.clusters_streams.sets import embedded_sets
    from benchmarks.clusters_streams.speed import SIZES, assign_us
    from benchmarks.clusters_streams.tables import tables, targets
    from worker.cli.training import Terminal

    sets = embedded_sets(Path(folder), cache=arguments.cache, progress=Terminal())
    with threadpool_limits(limits=1):  # as in the learner's process
        speed = {k: assign_us(k) for k in SIZES}
        rows = list(_measure(sets, arguments))
    shown, reached = tables(rows, speed), targets(rows, speed)
    if arguments.json:
        print_json(as_object(machine, reached, {one.title: one.as_objects() for one in shown}))
    else:
        print("\n".join([*lines(machine, [], {}), *(line for one in shown for line in (*one.lines(), ""))]))
        print("\n".join(table(reached)))
    return 0


def _measure(sets: Sequence[Embedded], arguments: argparse.Namespace) -> Iterator[Row]:
    from benchmarks.clusters_streams.following import agreement, follow, scores
    from benchmarks.clusters_streams.streams import KINDS, draw
    from benchmarks.clusters_streams.tables import Row
    from benchmarks.clusters_streams.ways import ORACLE, WARM_UP, oracle, ways

    for seed in range(arguments.seeds or (1 if arguments.quick else 3)):
        for data in sets:
            for name in arguments.streams or KINDS:
                began_s = time.monotonic()
                stream = draw(name, data.classes, QUICK_LENGTH if arguments.quick else LENGTH, seed)
                for label, way in ways(data.k, seed):
                    yield Row(data.name, name, label, seed, scores(follow(way, data, stream), way, data, stream))
                best = oracle(data.rows[stream.order], data.k)[WARM_UP:]
                yield Row(data.name, name, ORACLE, seed, agreement(best, data.classes[stream.order][WARM_UP:]))
                _say(f"{data.name}, {name}, seed {seed}: {time.monotonic() - began_s:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("streams", nargs="*", metavar="STREAM", help="only these")
    parser.add_argument("--cache", type=Path, required=True, metavar="DIR", help="of embeddings")
    parser.add_argument("--quick", action="store_true", help="streams of half the length, one seed")
    parser.add_argument("--seeds", type=int, metavar="N", help="how many; default: 3, with --quick 1")
    parser.add_argument("--json", action="store_true", help="print one object")
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TagstreamError as error:
        sys.exit(f"benchmarks.clusters: {error}")
