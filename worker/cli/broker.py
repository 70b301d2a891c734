"""`tagstream broker`: the embedded broker, for development."""

from __future__ import annotations

import signal
from pathlib import Path

import click


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=9092, show_default=True, help="0: any free port.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".tagstream-broker"),
    show_default=True,
    help="Where it keeps its data.",
)
def command(port: int, directory: Path) -> None:
    """Run the embedded broker until Ctrl-C.

    It speaks Kafka's protocol but keeps none of Kafka's promises: data survives a clean stop, not a crash.
    """
    from worker.kafka.embedded import EmbeddedBroker

    asked_to_end = {signal.SIGINT, signal.SIGTERM}
    broker = EmbeddedBroker(directory=directory, port=port)
    try:
        broker.start()
        # Only now, as a child inherits what is blocked; waited for below, so that the data is always written.
        signal.pthread_sigmask(signal.SIG_BLOCK, asked_to_end)
        click.echo(f"broker at {broker.bootstrap}, data in {directory}; Ctrl-C stops it")
        while broker.running and signal.sigtimedwait(asked_to_end, 1.0) is None:
            pass
        if not broker.running:
            raise click.ClickException(f"the embedded broker ended by itself; see {broker.log_file}")
    finally:
        broker.stop()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, asked_to_end)
