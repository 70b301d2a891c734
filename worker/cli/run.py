"""`tagstream run`: the worker."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from worker.cli.options import with_settings
from worker.errors import SettingsError
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.control import Control


@click.command("run", help="Run a worker: texts in from Kafka, tagged messages out, until SIGTERM or Ctrl-C.")
@with_settings
@click.option("--until", metavar="end|TIME", help="Stop there: a bounded backfill, in a consumer group of its own.")
@click.option("--dry-run", is_flag=True, help="Tag and count, without a consumer group and without writing.")
def command(settings: Settings, until: str | None, dry_run: bool) -> None:
    from worker import app, engines, logs

    logs.configure(settings.logging.level, settings.logging.format)
    app.settle_environment()
    mode = app.Mode(_parse_until(until), dry_run)
    front = app.make_front(settings)  # ahead of all that may take its time: a probe or a signal must not end a wait
    handle_signals(front.control)
    front.monitor.start()
    watch = engines.watch_folders(settings, front.control.reload)  # noted before the model is read
    worker = app.make_worker(settings, engines.load_model(settings), mode, front)
    if watch:
        watch.start()
    worker.run()


def handle_signals(control: Control) -> None:
    """SIGTERM and SIGINT drain and stop, the second one at once; SIGUSR1 pauses, SIGUSR2 resumes, SIGHUP reloads."""

    def stop(signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, signal.SIG_DFL)
        control.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGUSR1, lambda *_: control.pause())
    signal.signal(signal.SIGUSR2, lambda *_: control.resume())
    signal.signal(signal.SIGHUP, lambda *_: control.reload())


def _parse_until(text: str | None) -> Any:
    if text is None or text == "end":
        return text
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"--until {text}: write `end` or a time such as 2026-01-31T12:00:00Z") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
