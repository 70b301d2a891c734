"""A real worker around the fake engine, as a process of its own: `python -m tests.kafka.fake_worker a.b=c …`."""

from __future__ import annotations

import sys

from tests.doubles import FakeEngine
from worker import app, logs
from worker.cli.run import handle_signals
from worker.config import load


def main(assignments: list[str]) -> None:
    settings = load(None, ["clusters.enabled=false", "http.port=0", *assignments], {})
    logs.configure(settings.logging.level, "json")
    front = app.make_front(settings)
    handle_signals(front.control)
    front.monitor.start()
    app.make_worker(settings, FakeEngine(), app.Mode(), front).run()


if __name__ == "__main__":
    main(sys.argv[1:])
