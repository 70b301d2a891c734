"""`tagstream bench`: the user's own model and settings on this machine."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli.options import print_json, with_json

if TYPE_CHECKING:
    from worker.bench.comparisons import Findings
    from worker.settings import Settings

TEXTS, QUICK_TEXTS = 4096, 1024


@click.command("bench")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings, a YAML file.")
@click.option("--set", "assignments", multiple=True, metavar="A.B=C", help="One setting; over file and environment.")
@click.option("--bootstrap", metavar="HOST:PORT", help="Measure the whole worker too, on topics of its own there.")
@click.option("--quick", is_flag=True, help="Fewer texts and rounds: under five minutes.")
@with_json
def command(
    config: Path | None, assignments: tuple[str, ...], bootstrap: str | None, quick: bool, as_json: bool
) -> None:
    """Measure throughput and latency on this machine.

    The bare engine by batch size, and the stages around it; with --bootstrap the worker through Kafka. TAGSTREAM_DATA
    names a folder of JSON lines with a `text` field to measure with; without it texts are made up.
    """
    from worker import app, logs
    from worker.bench.machine import describe_machine
    from worker.bench.report import as_object, lines
    from worker.config import load

    logs.configure("error", "console")
    app.settle_environment()
    settings = load(config, assignments, os.environ)
    machine = describe_machine(settings.model.threads)
    figures = _stages(settings, QUICK_TEXTS if quick else TEXTS)
    targets = []
    if bootstrap is not None:
        found = _pipeline(settings, config, (*assignments, f"kafka.bootstrap={bootstrap}"), quick)
        targets, figures = found.targets, figures | found.figures
    if as_json:
        print_json(as_object(machine, targets, figures))
    else:
        click.echo("\n".join(lines(machine, targets, figures)))


def _stages(settings: Settings, count: int) -> dict[str, Any]:
    from worker import engines
    from worker.bench.stages import by_batch_size, by_stage
    from worker.bench.texts import load_texts

    texts = load_texts(_folder(), count)
    _say(f"loading {settings.model.path}")
    with contextlib.closing(engines.load_model(settings, log_level="error")) as engine:
        _say("the bare engine by batch size")
        sizes = by_batch_size(engine, texts)
        _say("the stages around it")
        return {"bare engine, texts/s by batch size": sizes, "stages, us a text": by_stage(settings, engine, texts)}


def _pipeline(settings: Settings, config: Path | None, assignments: tuple[str, ...], quick: bool) -> Findings:
    from worker.bench.arena import Arena
    from worker.bench.comparisons import QUICK, THOROUGH, Comparisons
    from worker.config import load
    from worker.kafka.security import Connection

    kafka = load(config, assignments, os.environ).kafka
    with Arena(Connection.of(kafka), replication_factor=kafka.replication_factor) as arena:
        comparisons = Comparisons(
            arena=arena,
            effort=QUICK if quick else THOROUGH,
            config=config,
            given=assignments,
            folder=_folder(),
            say=_say,
        )
        return comparisons.run_all()


def _folder() -> Path | None:
    from worker.bench.texts import FOLDER_VARIABLE

    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder) if folder else None


def _say(line: str) -> None:
    click.echo(line, err=True)
