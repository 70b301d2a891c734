"""`tagstream explain`: which words carried a label."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from worker.cli.options import print_json, with_json
from worker.errors import SettingsError

if TYPE_CHECKING:
    from worker.model.explain import Explanation
    from worker.model.folder import ModelFolder
    from worker.settings import Settings
    from worker.text.preparation import Preparation


class Wanted(NamedTuple):
    """A classifier: its model, its labels' names as results give them, and what is done to texts before it."""

    folder: ModelFolder
    labels: tuple[str, ...]
    prepare: Preparation


@click.command("explain")
@click.argument("text", required=False)
@click.option("--model", metavar="DIR", help="Directory or hub id, or what `tagstream train` has written.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings, instead of --model.")
@click.option("--set", "assignments", multiple=True, metavar="A.B=C", help="One setting; over file and environment.")
@click.option("--classifier", metavar="NAME", help="Which of the settings' classifiers; the one of model.path if none.")
@click.option("--label", metavar="NAME", help="The label to explain; the one that the text gets if none.")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="Words in the table.")
@click.option(
    "--html", "page", type=click.Path(path_type=Path), metavar="FILE", help="Write a page there, text and all."
)
@with_json
def command(
    text: str | None,
    model: str | None,
    config: Path | None,
    assignments: tuple[str, ...],
    classifier: str | None,
    label: str | None,
    top: int,
    page: Path | None,
    as_json: bool,
) -> None:
    """Show which words of TEXT carried its label; without TEXT, of all that stdin holds.

    Integrated gradients divide the label's log-odds among the words. A sum that misses them by more than 5 % is said.
    """
    from worker import app, logs
    from worker.cli.highlight import as_page, show
    from worker.model.explain import Explainer

    if (model is None) == (config is None and not assignments):
        raise SettingsError("name what to explain: either --model DIR or --config FILE")
    if page is not None and (page.is_dir() or not page.parent.is_dir()):
        raise SettingsError(f"cannot write {page}: {'it is a directory' if page.is_dir() else 'no such directory'}")
    logs.configure("warning", "console")
    app.settle_environment()
    wanted = _of_model(model, classifier) if model is not None else _of_settings(config, assignments, classifier)
    prepared = wanted.prepare(sys.stdin.read().rstrip("\n") if text is None else text)
    explanation = Explainer(wanted.folder, labels=wanted.labels)(prepared, label)
    if page is not None:
        _write(page, as_page(explanation))
    if as_json:
        print_json({**_fields(explanation), "error": explanation.error, "holds": explanation.holds})
        return
    show(explanation, top)


def _of_model(path: str, classifier: str | None) -> Wanted:
    """A directory alone, with the preparation that it was trained with."""
    from worker.model.folder import read_folder
    from worker.text.preparation import Preparation

    if classifier is not None:
        raise SettingsError("--classifier chooses among the classifiers of --config FILE; leave it out with --model")
    folder = read_folder(path)
    trained = folder.manifest.preparation if folder.manifest is not None else None
    return Wanted(folder, folder.labels, Preparation.of_record(trained.options) if trained else Preparation())


def _of_settings(config: Path | None, assignments: tuple[str, ...], classifier: str | None) -> Wanted:
    """As a worker with these settings would label it."""
    from worker.config import load
    from worker.model.folder import read_folder, rename_labels
    from worker.rules import make_preparation

    settings = load(config, assignments, os.environ)
    path, names = _classifier(settings, classifier or settings.model.name)
    folder = read_folder(path, allow_download=settings.model.allow_download)
    return Wanted(folder, rename_labels(folder.labels, names), make_preparation(settings))


def _classifier(settings: Settings, name: str) -> tuple[str, dict[str, str]]:
    model = settings.model
    if any(name == zero_shot.name for zero_shot in model.zero_shot):
        raise SettingsError(f"classifier {name!r} is zero-shot: nearness to descriptions, which explain cannot divide")
    known = {model.name: (model.path, model.labels), **{c.name: (c.path, c.labels) for c in model.classifiers}}
    if name not in known:
        raise SettingsError(f"the settings have no classifier {name!r}; they have: {', '.join(known)}")
    return known[name]


def _fields(explanation: Explanation) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(explanation)


def _write(page: Path, content: str) -> None:
    try:
        page.write_text(content, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot write {page}: {error.strerror}") from None
