"""The learner's own process. Imports little at the top: signals are settled before anything slow."""

from __future__ import annotations

import os
import signal
import traceback
from multiprocessing.connection import Connection

# What a reply begins with. Each request gets exactly one reply, so neither side can block the other for ever.
UNCHANGED = b"="
TABLE = b"T"  # then the table's bytes
FAILED = b"!"  # then what failed, without any text; the process ends

NICENESS = 5  # the forward pass goes first


def serve(connection: Connection, recipe: bytes) -> None:
    """Learn from the samples that come, until the other end is closed or its process is dead.

    A Ctrl-C or a SIGTERM to the process group is the worker's business: it closes the connection when it has drained.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(NICENESS)
    try:
        _answer(connection, recipe)
    except (EOFError, ConnectionError):
        return
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        detail = f"{type(error).__name__} in {where.name}, {os.path.basename(where.filename)}:{where.lineno}"
        connection.send_bytes(FAILED + detail.encode())


def _answer(connection: Connection, recipe: bytes) -> None:
    import orjson
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from worker.clusters import wire
    from worker.clusters.learner import Learner
    from worker.clusters.recipe import Recipe

    learner = Learner(Recipe(**orjson.loads(recipe)))
    with threadpool_limits(limits=1):  # the cores belong to the forward pass
        while True:
            header, embeddings = wire.unpack(connection.recv_bytes())
            before = learner.table.version
            learner.learn(embeddings, header["words"])
            changed = learner.table.version != before
            connection.send_bytes(TABLE + learner.table.to_bytes() if changed else UNCHANGED)
