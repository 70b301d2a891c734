"""`tagstream evaluate`: the numbers that say whether to trust a model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from worker.cli.options import print_json, with_columns, with_json
from worker.errors import SettingsError

if TYPE_CHECKING:
    from worker.evaluation.asking import Asked
    from worker.evaluation.baseline import Baseline
    from worker.evaluation.outcome import Evaluation, Facts
    from worker.evaluation.thresholds import Target
    from worker.model.engine import TransformersEngine
    from worker.model.folder import ModelFolder
    from worker.text.preparation import Preparation
    from worker.training.columns import Columns
    from worker.training.corpus import Corpus, Example

Part = Literal["test", "valid", "all"]
PARTS: tuple[Part, ...] = ("test", "valid", "all")
EXTRA = "the page needs matplotlib and jinja2: pip install 'tagstream[train]'"


@click.command("evaluate")
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="DIR", help="Directory, hub id, or what `tagstream train` has written.")
@with_columns
@click.option("--split", "part", type=click.Choice(PARTS), default="test", show_default=True, help="What to judge by.")
@click.option("--target", "goals", multiple=True, metavar="M=GOAL:LABEL", help="E.g. precision=0.99:spam; a threshold.")
@click.option("--html", "page", type=click.Path(path_type=Path), metavar="FILE", help="Write a page with plots there.")
@click.option(
    "--errors", type=click.IntRange(0), default=0, metavar="N", help="Show the N surest errors, texts and all."
)
@click.option("--max-examples", type=click.IntRange(2), metavar="N", help="Hold and use a sample of so many rows.")
@click.option("--no-baseline", is_flag=True, help="Leave TF-IDF with linear models out.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of bootstrap, baselines and sample.")
@with_json
def command(
    data: tuple[Path, ...],
    model: str,
    columns: Columns,
    part: Part,
    goals: tuple[str, ...],
    page: Path | None,
    errors: int,
    max_examples: int | None,
    no_baseline: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Judge a model by the labelled texts of DATA, files or folders, and by what TF-IDF makes of the same ones.

    The first line says whether the model is worth it. Temperature and thresholds are fitted on the validation part,
    all figures are of the test part. With `--split all` the whole of DATA is the test part: for texts from elsewhere,
    without baselines. Texts are shown with --errors only, on the terminal.
    """
    from worker import app, logs
    from worker.evaluation.judge import evaluate
    from worker.evaluation.terminal import render, render_errors
    from worker.evaluation.thresholds import parse_target

    if errors and as_json:
        raise SettingsError("--errors shows texts, on the terminal only; leave out --errors or --json")
    logs.configure("warning", "console")
    app.settle_environment()
    targets = [parse_target(goal) for goal in goals]
    _refuse_page(page)
    corpus = _read(data, columns, part, max_examples, seed)
    folder = _folder(model, corpus, targets)
    test, valid = corpus.of("valid" if part == "valid" else "test"), corpus.valid if part == "test" else ()
    if targets and not valid:
        raise SettingsError("--target needs a validation part to choose on: use --split test")
    asked, chosen = _ask(model, folder, test, valid)
    kept = [test[i] for i in asked.places]
    evaluation = evaluate(
        facts=_facts(folder, data, corpus, part, asked, len(kept)),
        valid=chosen.answers if chosen else None,
        test=asked.answers,
        lengths=[len(example.text) for example in kept],
        baselines=[] if no_baseline or not valid else _baselines(corpus, valid, kept, asked, seed),
        targets=targets,
        seed=seed,
    )
    _write(page, evaluation)
    if as_json:
        print_json(evaluation)
        return
    click.echo(render(evaluation), nl=False)
    if errors:
        click.echo(render_errors([example.text for example in kept], asked.answers, errors), nl=False)


def _refuse_page(page: Path | None) -> None:
    """Before any work: a page that could not be made, or not be written."""
    if page is None:
        return
    from importlib.util import find_spec

    if not all(map(find_spec, ("matplotlib", "jinja2"))):
        raise SettingsError(EXTRA)
    if page.is_dir() or not page.parent.is_dir():
        raise SettingsError(f"cannot write {page}: {'it is a directory' if page.is_dir() else 'no such directory'}")


def _read(data: Sequence[Path], columns: Columns, part: Part, max_examples: int | None, seed: int) -> Corpus:
    from worker.training.reading import read_corpus

    into: Literal["test"] | None = "test" if part == "all" else None
    corpus = read_corpus(list(data), columns=columns, max_examples=max_examples, seed=seed, into=into)
    for note in corpus.notes:
        _say(note)
    if not corpus.of("valid" if part == "valid" else "test"):
        raise SettingsError(f"no text is in the {part} part; give more data, or judge by all of it: --split all")
    return corpus


def _folder(model: str, corpus: Corpus, targets: Sequence[Target]) -> ModelFolder:
    """The model as it describes itself, before it is loaded. Raises `SettingsError` where it does not fit the data."""
    from worker.evaluation.asking import refuse_strangers
    from worker.evaluation.thresholds import refuse_unknown
    from worker.model.folder import read_folder

    folder = read_folder(model)
    refuse_strangers(corpus.kind, corpus.labels, folder.kind, folder.labels)
    refuse_unknown(targets, folder.labels)
    return folder


def _ask(
    model: str, folder: ModelFolder, test: Sequence[Example], valid: Sequence[Example]
) -> tuple[Asked, Asked | None]:
    """Answers to texts prepared as in the model's training, without the temperature that is in its weights."""
    from worker.evaluation.asking import ask
    from worker.evaluation.calibration import tempered
    from worker.model.assembly import load_engine
    from worker.model.recipe import ClassifierRecipe, EngineRecipe

    prepare, own = _preparation(folder), _temperature(folder)
    _say(f"loading {model}")
    engine = load_engine(EngineRecipe(classifiers=(ClassifierRecipe("default", model),), lasting=False))
    with _bar(len(test) + len(valid)) as through:

        def answers(examples: Sequence[Example], engine: TransformersEngine = engine) -> Asked:
            asked = ask(engine, [prepare(e.text) for e in examples], [e.labels for e in examples], through)
            return replace(asked, answers=tempered(asked.answers, 1 / own)) if own else asked

        return answers(test), answers(valid) if valid else None


def _temperature(folder: ModelFolder) -> float | None:
    return folder.manifest.temperature if folder.manifest else None


def _preparation(folder: ModelFolder) -> Preparation:
    """As in the model's training; nothing for a model from elsewhere. Raises `SettingsError` if it has changed."""
    from worker.text.preparation import Preparation, refuse_mismatch

    known = folder.manifest.preparation if folder.manifest else None
    if known is None:
        return Preparation()
    preparation = Preparation.of_record(known.options)
    refuse_mismatch(known.model_dump(), preparation)
    return preparation


def _facts(folder: ModelFolder, data: Sequence[Path], corpus: Corpus, part: Part, asked: Asked, judged: int) -> Facts:
    from worker.evaluation.outcome import Facts

    names = ", ".join(path.name or str(path) for path in data)
    counts = {"train": len(corpus.train), "valid": len(corpus.valid), "test": len(corpus.test)}
    return Facts(
        model=folder.name,
        revision=folder.revision,
        kind=folder.kind,
        data=names,
        fingerprint=corpus.fingerprint,
        split=part,
        texts={**{name: count for name, count in counts.items() if count}, "judged": judged},
        dropped=dict(corpus.dropped),
        unread=asked.unread,
        temperature=_temperature(folder),
        thresholds=folder.manifest.thresholds if folder.manifest else {},
    )


def _baselines(
    corpus: Corpus, valid: Sequence[Example], test: Sequence[Example], asked: Asked, seed: int
) -> list[Baseline]:
    from worker.evaluation.answers import truth_of
    from worker.evaluation.baseline import Part, fit_baselines

    labels = asked.answers.labels

    def part(examples: Sequence[Example]) -> Part:
        return Part([e.text for e in examples], truth_of([e.labels for e in examples], labels))

    fitted = []
    for baseline in fit_baselines(
        kind=asked.answers.kind,
        labels=labels,
        train=part(corpus.train),
        valid=part(valid),
        test=part(test),
        seed=seed,
    ):
        _say(f"TF-IDF of {baseline.features} with {baseline.name}: {baseline.seconds:.1f} s")
        fitted.append(baseline)
    return fitted


def _write(page: Path | None, evaluation: Evaluation) -> None:
    if page is None:
        return
    from worker.evaluation.page import page as make

    try:
        page.write_text(make(evaluation), encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot write {page}: {error.strerror}") from None


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, else nothing; gives what to call with the texts done."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=sys.stderr)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("texts", total=total)
        yield lambda done: progress.advance(task, done)


def _say(line: str) -> None:
    click.echo(line, err=True)
