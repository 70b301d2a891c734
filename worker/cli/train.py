"""`tagstream train`: labelled texts in, a model directory out that `run`, `tag` and `check` take as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.options import print_json, with_columns, with_json, with_settings
from worker.cli.replacing import Replacing
from worker.cli.ways import Way, with_way
from worker.errors import SettingsError

if TYPE_CHECKING:
    from worker.evaluation.thresholds import Target
    from worker.model.folder import ModelFolder
    from worker.settings import Settings
    from worker.training.columns import Columns
    from worker.training.corpus import Corpus
    from worker.training.job import Job
    from worker.training.progress import Progress


@click.command("train")
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--base", required=True, metavar="MODEL", help="What to start from: a directory, a hub id or minilm.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The model directory.")
@with_way
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
@click.option(
    "--feedback",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Corrections to learn from, too; the model in OUT is replaced unless the new one is worse.",
)
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR", help="For embeddings; default: OUT.cache.")
@click.option("--no-baseline", is_flag=True, help="Leave TF-IDF with linear models out of the model card.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same model.")
@with_settings
@with_json
def command(
    settings: Settings,
    data: tuple[Path, ...],
    base: str,
    out: Path,
    way: Way,
    columns: Columns,
    goals: tuple[str, ...],
    class_weights: str,
    max_examples: int | None,
    feedback: Path | None,
    cache: Path | None,
    no_baseline: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Train a model on the labelled texts of DATA: files (JSON lines, CSV, TSV, Parquet) or folders of mails by class.

    A head learns on the frozen base in seconds to minutes; top:N and full train the base's layers. Temperature and
    thresholds come from the validation part, the figures of the model card from the test part. Settings say how texts
    are prepared (text) and where the model runs (model.device); give those that the worker will have.

    With --feedback, a file of `tagstream feedback collect`, the model in OUT is the one in use. The new one is compared
    with it on the test parts of data and corrections. Worse, it is kept in OUT.refused, and the exit code is 1.
    """
    from worker import app, logs, rules
    from worker.cli.training import Terminal, summary
    from worker.cli.ways import refuse_base, train
    from worker.evaluation.thresholds import parse_target
    from worker.training.job import Job

    logs.configure("warning", "console")
    app.settle_environment()
    targets = tuple(map(parse_target, goals))
    folder = _base(base, out, settings)
    refuse_base(way, folder)
    replacing = Replacing.of(out, feedback)
    progress = Terminal()
    corpus = _read(data, columns, max_examples, seed, progress)
    held = replacing.corrected(corpus, progress) if replacing else None
    corpus = held.corpus if held else corpus
    _refuse_targets(targets, corpus)
    job = Job(
        folder,
        replacing.place if replacing else out,
        way.tune,
        rules.make_preparation(settings),
        targets,
        class_weights == "balanced",
        seed,
        beside=not no_baseline,
    )
    corpus = _prepared(corpus, job)
    trained = train(way, corpus, job, settings, cache or out.with_name(f"{out.name}.cache"), progress)
    if replacing and held:
        replacing.end(trained, held, settings, seed, as_json, progress)
    elif as_json:
        print_json(trained)
    else:
        click.echo(summary(trained), nl=False)


def _base(base: str, out: Path, settings: Settings) -> ModelFolder:
    """Read before the data, which takes longer."""
    from worker.model.folder import read_folder
    from worker.training.directory import refuse_target

    refuse_target(out)
    try:
        return read_folder(base, allow_download=settings.model.allow_download)
    except SettingsError as error:  # which speaks of the settings that a worker has it from
        said = str(error).replace("model.path", "--base").replace("allow_download: true", "allow_download=true")
        raise SettingsError(said.replace("set model.", "add --set model.")) from None


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
