"""`tagstream demo`: broker, model and texts included; the worker is the real one, in a process of its own."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from worker.cli.topics import needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from worker.demo.config import Place
    from worker.demo.process import WorkerProcess
    from worker.demo.stream import Stream
    from worker.demo.tally import Tally
    from worker.demo.texts import Text

TRAINING = 3000  # texts: more would take longer than a minute on two slow cores
LIMIT = 6000
CALM = 100  # messages sent one at a time, to see the latency without a backlog
CALM_PER_S = 20.0
SERVE_PER_S = 5.0


class Scene(NamedTuple):
    """All that runs, ready to be streamed through."""

    place: Place
    config: Path
    topic: str
    worker: WorkerProcess
    stream: Stream
    tally: Tally
    producer: Any


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
    what comes out. Exit code 1 if anything was lost or came twice.

    On a Kafka of yours the topics begin with tagstream-demo- and stay; for TLS and SASL set TAGSTREAM_KAFKA__SSL_…,
    TAGSTREAM_KAFKA__SASL_… and TAGSTREAM_KAFKA__SECURITY_PROTOCOL.
    """
    from rich.console import Console

    from worker import app
    from worker.demo import model, texts

    app.settle_environment()
    console = Console(width=80, highlight=False)
    directory.mkdir(parents=True, exist_ok=True)
    with model.lock(directory), ExitStack() as stack:
        _say(console, "texts", "23,700 tweets, reviews and editorials of the PyPI package vaderSentiment (MIT)")
        split = texts.split(texts.read(texts.fetch(directory)), TRAINING)
        path = model.trained(directory, split.training, lambda said: _say(console, "model", said))
        scene = _set_up(stack, console, directory, path, bootstrap, limit)
        code = _perform(scene, console, split.held_back, limit, embedded=bootstrap is None)
        if serve and code == 0:
            _serve(scene, console, split.held_back)
        if scene.worker.stop() != 0:
            raise click.ClickException(f"the worker did not stop cleanly; see {directory / 'worker.log'}")
        _say_where(console, scene, directory, embedded=bootstrap is None)
        return code


def _set_up(
    stack: ExitStack, console: Console, directory: Path, model: Path, bootstrap: str | None, limit: int
) -> Scene:
    """Broker, topics, worker; `stack` ends them in the opposite order."""
    from worker.config import load
    from worker.demo import config, process
    from worker.demo.stream import Stream, producer
    from worker.demo.tally import Tally
    from worker.kafka.reading import Reader
    from worker.kafka.security import Connection
    from worker.kafka.topics import TopicAdmin

    prefix = f"tagstream-demo-{uuid.uuid4().hex[:6]}-" if bootstrap else ""
    bootstrap = bootstrap or stack.enter_context(_fresh_broker(directory / "broker")).bootstrap
    place = config.Place(bootstrap, prefix, model, process.free_port(), limit)
    written = directory / "config.yaml"
    config.write(written, place)
    environment = config.environment(os.environ, own_broker=not prefix)
    settings = load(written, [], environment)
    connection = Connection.of(settings.kafka)
    with TopicAdmin(connection) as admin:
        admin.create(needed(settings))
    _say(console, "broker", f"{bootstrap}{'' if prefix else ', embedded'}, topics made")
    worker = process.WorkerProcess(
        config=written, log_file=directory / "worker.log", http_port=place.http_port, environment=environment
    )
    stack.enter_context(worker)
    reader = stack.enter_context(Reader(connection.client_options()))
    sender = producer(connection.client_options())
    stack.callback(sender.close, timeout=1)
    tally = Tally(settings.dead_letter.topic)
    stream = Stream(producer=sender, reader=reader, worker=worker, tally=tally)
    stream.follow(settings.output_topics())
    worker.wait_ready()
    _say(console, "worker", f"tagstream run --config {written}, status at {worker.url}/")
    return Scene(place, written, settings.input_topics()[0], worker, stream, tally, sender)


def _fresh_broker(directory: Path) -> Any:
    """What an earlier demo left in it would be counted again."""
    from worker.kafka.embedded import EmbeddedBroker

    shutil.rmtree(directory / "data", ignore_errors=True)
    return EmbeddedBroker(directory=directory)


def _perform(scene: Scene, console: Console, texts: Sequence[Text], limit: int, *, embedded: bool) -> int:
    """Stream and report; 1 if anything was lost or came twice."""
    from worker.demo import config, messages, report
    from worker.demo.progress import progress

    firehose, calm = texts[:limit], texts[limit : limit + CALM]
    outbound = list(messages.firehose(firehose))
    with progress(console, "firehose", len(outbound)) as show:
        first = scene.stream.run(scene.topic, outbound, None, show)
    with progress(console, "one at a time", len(calm)) as show:
        second = scene.stream.run(scene.topic, map(messages.message, calm), CALM_PER_S, show)
    scene.stream.settle()
    run = report.Run(scene.tally, first, second, config.purposes(scene.place), embedded)
    report.show(run, console)
    return 1 if run.lost or scene.tally.duplicated else 0


def _serve(scene: Scene, console: Console, texts: Sequence[Text]) -> None:
    """Go on at an easy pace until Ctrl-C, which is the normal end of it."""
    from worker.demo.messages import message
    from worker.demo.stream import paced

    _say(console, "serving", f"{SERVE_PER_S:g} texts a second; look at {scene.worker.url}/ and end it with Ctrl-C")
    try:
        for text in paced(cycle(texts), SERVE_PER_S, threading.Event()):
            scene.producer.send(scene.topic, *reversed(message(text)))
            scene.worker.check()
    except KeyboardInterrupt:
        _say(console, "serving", "ended")


def _say(console: Console, name: str, said: str) -> None:
    console.print(f"[bold]{name:8}[/bold] {said}", soft_wrap=True)


def _say_where(console: Console, scene: Scene, directory: Path, *, embedded: bool) -> None:
    """How to look at it all again."""
    console.print()
    _say(console, "files", f"{scene.config}, log {directory / 'worker.log'}")
    if embedded:
        port = scene.place.bootstrap.rpartition(":")[2]
        _say(console, "again", f"tagstream broker --dir {directory / 'broker'} --port {port} &")
    else:
        _say(console, "topics", f"{scene.place.prefix}* are left for you to look at, and to delete")
    _say(console, "look", f"tagstream tail --config {scene.config}")
