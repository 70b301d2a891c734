"""The worker on a real Kafka, and the targets of its speed.

`python -m benchmarks.pipeline [--quick] [--json] [--bootstrap HOST:PORT]`. Without `--bootstrap` it runs a broker of
its own from KAFKA_HOME. TAGSTREAM_DATA names a folder of JSON lines with a `text` field; without it texts are made up.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.kafka.broker import KafkaServer, unavailable
from worker.bench.arena import Arena
from worker.bench.comparisons import QUICK, THOROUGH, Comparisons
from worker.bench.machine import describe_machine
from worker.bench.report import as_object, lines
from worker.bench.texts import FOLDER_VARIABLE
from worker.cli.options import print_json
from worker.errors import TagstreamError
from worker.kafka.security import Connection

MODEL = ("model.path=minilm",)


def main() -> int:
    arguments = _arguments()
    reason = None if arguments.bootstrap else unavailable()
    if reason:
        print(f"skipped: {reason}, or name a running broker with --bootstrap", file=sys.stderr)
        return 0
    machine = describe_machine(forward_threads=0)
    folder = os.environ.get(FOLDER_VARIABLE)
    with _kafka(arguments.bootstrap) as bootstrap, _arena(bootstrap) as arena:
        comparisons = Comparisons(
            arena=arena,
            effort=QUICK if arguments.quick else THOROUGH,
            config=None,
            given=MODEL,
            folder=Path(folder) if folder else None,
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )
        findings = comparisons.run_all()
    if arguments.json:
        print_json(as_object(machine, findings.targets, findings.figures))
    else:
        print("\n".join(lines(machine, findings.targets, findings.figures)))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under five minutes")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="a running broker")
    return parser.parse_args()


@contextlib.contextmanager
def _kafka(bootstrap: str | None) -> Iterator[str]:
    if bootstrap:
        yield bootstrap
        return
    with tempfile.TemporaryDirectory(prefix="tagstream-bench-") as directory:
        server = KafkaServer(directory=Path(directory)).start()
        try:
            yield server.bootstrap
        finally:
            server.kill()


def _arena(bootstrap: str) -> Arena:
    return Arena(Connection(bootstrap=bootstrap), replication_factor=1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TagstreamError as error:
        sys.exit(f"benchmarks.pipeline: {error}")
