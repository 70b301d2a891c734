"""`tagstream train`: labelled texts in, a model directory out that `run`, `tag` and `check` take as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from worker.cli.options import print_json, with_columns, with_json, with_settings
from worker.errors import SettingsError

if TYPE_CHECKING:
    from worker.evaluation.thresholds import Target
    from worker.model.folder import ModelFolder
    from worker.settings import Settings
    from worker.training.columns import Columns
    from worker.training.corpus import Corpus
    from worker.training.finish import Trained
    from worker.training.job import Job
    from worker.training.progress import Progress

Features = Literal["embedding", "embedding+characters"]
FEATURES: tuple[Features, ...] = ("embedding", "embedding+characters")


@click.command("train")
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--base", required=True, metavar="MODEL", help="What to start from: a directory, a hub id or minilm.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The model directory.")
@click.option("--tune", default="head", show_default=True, metavar="WHAT", help="head, top:N (layers) or full.")
@click.option(
    "--features", type=click.Choice(FEATURES), default=FEATURES[0], show_default=True, help="What a head reads."
)
@with_columns
@click.option("--target", "goals", multiple=True, metavar="M=GOAL:LABEL", help="E.g. precision=0.99:spam; a threshold.")
@click.option(
    "--class-weights",
    type=click.Choice(("none", "balanced")),
    default="none",
    show_default=True,
    help="balanced: rare labels weigh as much as frequent ones.",
)
@click.option("--max-examples", type=click.IntRange(2), metavar="N", help="Use a sample of so many.")
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR", help="For embeddings; default: OUT.cache.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same model.")
@with_settings
@with_json
def command(
    settings: Settings,
    data: tuple[Path, ...],
    base: str,
    out: Path,
    tune: str,
    features: Features,
    columns: Columns,
    goals: tuple[str, ...],
    class_weights: str,
    max_examples: int | None,
    cache: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Train a model on the labelled texts of DATA: files (JSON lines, CSV, TSV, Parquet) or folders of mails by class.

    A head learns on the frozen base in seconds to minutes; top:N and full train the base's layers. Temperature and
    thresholds come from the validation part, the figures of the model card from the test part. Settings say how texts
    are prepared (text) and where the model runs (model.device); give those that the worker will have.
    """
    from worker import app, logs, rules
    from worker.cli.training import Terminal, summary
    from worker.evaluation.thresholds import parse_target
    from worker.training.job import Job

    logs.configure("warning", "console")
    app.settle_environment()
    targets, top = tuple(map(parse_target, goals)), parse_tune(tune)
    if top is not None:
        _refuse_layers(features)
    folder = _base(base, out, settings)
    preparation = rules.make_preparation(settings)
    progress = Terminal()
    corpus = _read(data, columns, max_examples, seed, progress)
    _refuse_targets(targets, corpus)
    job = Job(folder, out, tune, preparation, targets, class_weights == "balanced", seed)
    corpus = _prepared(corpus, job)
    trained = (
        _head(corpus, job, features, settings, cache or out.with_name(f"{out.name}.cache"), progress)
        if top is None
        else _layers(corpus, job, top, settings, progress)
    )
    if as_json:
        print_json(trained)
    else:
        click.echo(summary(trained), nl=False)


def parse_tune(written: str) -> int | Literal["full"] | None:
    """How many layers; None for a head alone. Raises `SettingsError`."""
    if written == "head":
        return None
    if written == "full":
        return "full"
    if match := re.fullmatch(r"top:([1-9]\d{0,2})", written):
        return int(match[1])
    raise SettingsError(f"--tune {written}: write head, top:N (such as top:2) or full")


def _refuse_layers(features: Features) -> None:
    """What only a head can do, or what is not installed."""
    from importlib.util import find_spec

    if features != FEATURES[0]:
        raise SettingsError(f"--features {features} is for --tune head; leave one of them out")
    if not find_spec("accelerate"):
        raise SettingsError("--tune top:N and full need accelerate: pip install 'tagstream[train]'")


def _base(base: str, out: Path, settings: Settings) -> ModelFolder:
    """Read before the data, which takes longer."""
    from worker.model.folder import read_folder
    from worker.training.directory import refuse_target

    refuse_target(out)
    return read_folder(base, allow_download=settings.model.allow_download)


def _read(data: tuple[Path, ...], columns: Columns, max_examples: int | None, seed: int, progress: Progress) -> Corpus:
    from worker.training.reading import read_corpus

    corpus = read_corpus(list(data), columns=columns, max_examples=max_examples, seed=seed)
    for note in corpus.notes:
        progress.say(note)
    parts = ", ".join(f"{name} {len(corpus.of(name)):,}" for name in ("train", "valid", "test"))
    progress.say(f"{len(corpus.labels)} labels; texts: {parts}")
    if corpus.dropped:
        progress.say("left out: " + ", ".join(f"{reason} {count:,}" for reason, count in corpus.dropped.items()))
    return corpus


def _refuse_targets(targets: tuple[Target, ...], corpus: Corpus) -> None:
    from worker.evaluation.thresholds import refuse_unknown

    refuse_unknown(targets, corpus.labels)
    if targets and not corpus.valid:
        raise SettingsError("--target needs a validation part to choose on: mark some rows valid, or give more data")


def _prepared(corpus: Corpus, job: Job) -> Corpus:
    from worker.training.job import prepared

    return prepared(corpus, job.preparation)


def _head(corpus: Corpus, job: Job, features: Features, settings: Settings, cache: Path, progress: Progress) -> Trained:
    from dataclasses import replace

    from worker.engines import recipe_of
    from worker.training.head import train_head

    return train_head(
        corpus,
        replace(job, base=job.base.without_head()),
        cache=cache,
        features=features,
        recipe=recipe_of(settings),
        progress=progress,
    )


def _layers(corpus: Corpus, job: Job, top: int | Literal["full"], settings: Settings, progress: Progress) -> Trained:
    from worker.training.finetune import Machine, finetune

    machine = Machine(settings.model.device, settings.model.threads)
    return finetune(corpus, job, top=None if top == "full" else top, machine=machine, progress=progress)
