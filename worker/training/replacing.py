"""A new model in the place of the one in use, if it is not worse; else it is kept beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from worker.errors import SettingsError
from worker.evaluation.answers import Answers, truth_of
from worker.evaluation.asking import Asked, ask
from worker.evaluation.replacement import Replacement, over, weigh
from worker.model.assembly import load_engine
from worker.model.folder import ModelFolder, read_folder
from worker.model.manifest import MANIFEST
from worker.model.recipe import ClassifierRecipe, EngineRecipe
from worker.text.preparation import Preparation
from worker.training.corpus import Example
from worker.training.directory import put_in_place, refuse_target
from worker.training.progress import Progress


def model_in_use(out: Path) -> ModelFolder:
    """The model in `out`, which a new one may replace. Raises `SettingsError` where there is none."""
    refuse_target(out)
    refuse_target(refused_place(out))
    if not (out / MANIFEST).exists():
        raise SettingsError(f"--feedback is for a model that is in use, and {out} holds none: train one first, without")
    return read_folder(str(out))


def new_place(out: Path) -> Path:
    """Where the new model is made: beside `out`, under its own name, which goes into the model card."""
    return out.absolute().parent / f".{out.name}.new" / out.name


def refused_place(out: Path) -> Path:
    """Where a model that is worse is kept; an earlier one there is replaced."""
    return out.absolute().parent / f"{out.name}.refused"


def compare_models(
    in_use: Path,
    new: Path,
    examples: Sequence[Example],
    held_back: Sequence[bool],
    *,
    recipe: EngineRecipe,
    progress: Progress,
    seed: int = 0,
) -> Replacement:
    """Both models on the test texts as they came, each with the preparation of its own training.

    `held_back` says which texts are corrections. Texts that one of the models cannot read are left out. `recipe` says
    where the models run. Raises `SettingsError`.
    """
    folders = [read_folder(str(path)) for path in (in_use, new)]
    labels = tuple(sorted({label for folder in folders for label in folder.labels}))
    asked = [_asked(folder, examples, recipe, progress) for folder in folders]
    places = sorted(set(asked[0].places) & set(asked[1].places))
    if not places:
        raise SettingsError("no held-back text can be read by both models; check the column with the text")
    truth = truth_of((examples[place].labels for place in places), labels)
    one, other = (over(_at(found, places), labels, truth) for found in asked)
    return weigh(one, other, np.array(held_back, np.bool_)[places], seed=seed)


def settle(out: Path, found: Replacement) -> Path:
    """Put the new model where it belongs: into `out`, or where refused ones are kept."""
    new = new_place(out)
    target = out.absolute() if found.refusal is None else refused_place(out)
    put_in_place(new, target)
    with contextlib.suppress(OSError):  # something of an interrupted training may be left in it
        new.parent.rmdir()
    return target


def _asked(folder: ModelFolder, examples: Sequence[Example], recipe: EngineRecipe, progress: Progress) -> Asked:
    """Labels that the model does not know are left out of the truth here, and put back by `over`."""
    prepare = Preparation()
    if folder.manifest is not None and folder.manifest.preparation is not None:
        prepare = Preparation.of_record(folder.manifest.preparation.options)
    classifiers = (ClassifierRecipe("default", str(folder.root)),)
    engine = load_engine(
        replace(recipe, classifiers=classifiers, zero_shot=(), encoder=None, lasting=False, evaluation=None)
    )
    known = set(folder.labels)
    named = [[label for label in example.labels if label in known] for example in examples]
    with progress.task("comparing", len(examples)) as advance:
        return ask(engine, [prepare(example.text) for example in examples], named, advance)


def _at(found: Asked, places: Sequence[int]) -> Answers:
    rows = {place: row for row, place in enumerate(found.places)}
    return found.answers.of(np.array([rows[place] for place in places], np.intp))
