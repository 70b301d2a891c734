"""Which way of training `tagstream train` is asked for: its options, what they rule out, and the call that follows."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from worker.cli.options import Command, Duration
from worker.errors import SettingsError
from worker.training.options import FineTuning

if TYPE_CHECKING:
    from worker.model.folder import ModelFolder
    from worker.settings import Settings
    from worker.training.corpus import Corpus
    from worker.training.finetune import Machine
    from worker.training.finish import Trained
    from worker.training.job import Job
    from worker.training.progress import Progress

Features = Literal["embedding", "embedding+characters"]
Top = int | Literal["full"] | None

FEATURES: tuple[Features, ...] = ("embedding", "embedding+characters")
USUAL = FineTuning()
AUTO_BUDGET_S = 1800.0
LIBRARIES = {"search": ("accelerate", "matplotlib", "optuna"), "layers": ("accelerate",), "head": ()}


@dataclass(frozen=True, slots=True)
class Way:
    """How to train. `top` None is a head; `auto` compares, `trials` searches, in `budget_s` seconds (None: no end)."""

    tune: str
    features: Features
    tuning: FineTuning
    auto: bool = False
    trials: int | None = None
    budget_s: float | None = None

    @property
    def top(self) -> Top:
        return parse_tune(self.tune)


def with_way(command: Command) -> Command:
    """Add what says how to train; the command gets `way`, refused where its parts contradict each other."""

    @click.option("--tune", default="head", show_default=True, metavar="WHAT", help="head, top:N (layers) or full.")
    @click.option(
        "--features", type=click.Choice(FEATURES), default=FEATURES[0], show_default=True, help="What a head reads."
    )
    @click.option("--recipe", type=click.Choice(("auto",)), help="Compare heads, top:2 and full; take what pays.")
    @click.option("--search", "trials", type=click.IntRange(1), metavar="N", help="Try N options of a fine-tuning.")
    @click.option(
        "--time-budget",
        "budget_s",
        type=Duration(),
        metavar="TIME",
        help="Seconds, or 90s, 15m, 2h: for a fine-tuning, a search, or --recipe auto (30m if not given).",
    )
    @click.option(
        "--learning-rate",
        type=click.FloatRange(0, min_open=True),
        default=USUAL.learning_rate,
        show_default=True,
        help="Of a fine-tuning: top:N and full.",
    )
    @click.option(
        "--epochs",
        type=click.IntRange(1),
        default=USUAL.epochs,
        show_default=True,
        help="Of a fine-tuning, at most: it ends early if validation gets no better.",
    )
    @click.option(
        "--batch-size",
        type=click.IntRange(1),
        default=USUAL.batch_size,
        show_default=True,
        help="Texts a step of a fine-tuning.",
    )
    @click.option(
        "--weight-decay",
        type=click.FloatRange(0),
        default=USUAL.weight_decay,
        show_default=True,
        help="Of a fine-tuning.",
    )
    @functools.wraps(command)
    def wrapper(
        *args: Any,
        tune: str,
        features: Features,
        recipe: str | None,
        trials: int | None,
        budget_s: float | None,
        learning_rate: float,
        epochs: int,
        batch_size: int,
        weight_decay: float,
        **more: Any,
    ) -> Any:
        tuning = replace(
            USUAL, learning_rate=learning_rate, epochs=epochs, batch_size=batch_size, weight_decay=weight_decay
        )
        way = Way(tune, features, tuning, auto=recipe is not None, trials=trials, budget_s=budget_s)
        _refuse_contradictions(way)
        _refuse_missing(way)
        return command(*args, way=way, **more)

    return wrapper


def parse_tune(written: str) -> Top:
    """How many layers; None for a head alone. Raises `SettingsError`."""
    if written == "head":
        return None
    if written == "full":
        return "full"
    if match := re.fullmatch(r"top:([1-9]\d{0,2})", written):
        return int(match[1])
    raise SettingsError(f"--tune {written}: write head, top:N (such as top:2) or full")


def refuse_base(way: Way, base: ModelFolder) -> None:
    """Raises `SettingsError` for layers that the base does not have, before the data is read."""
    if isinstance(way.top, int):
        from worker.training.classifier import refuse_layers

        refuse_layers(base, way.top)


def train(way: Way, corpus: Corpus, job: Job, settings: Settings, cache: Path, progress: Progress) -> Trained:
    """Blocks for as long as it takes. Raises `SettingsError` and `Stop`."""
    if way.auto:
        return _compared(way, corpus, job, settings, cache, progress)
    if way.top is None:
        return _head(way, corpus, job, settings, cache, progress)
    return _layers(way, None if way.top == "full" else way.top, corpus, job, settings, progress)


def _refuse_contradictions(way: Way) -> None:
    if way.auto:
        if wrong := _given("tune", "features", "trials"):
            raise SettingsError(f"--recipe auto compares them all; leave it or {wrong} out")
    elif way.top is None and way.trials is not None:
        raise SettingsError(
            "--search tries learning rates, epochs and layers: add --tune top:N or full; a head chooses by itself"
        )
    elif way.top is None:
        if wrong := _given("budget_s", "learning_rate", "epochs", "batch_size", "weight_decay"):
            raise SettingsError(f"{wrong} is for --tune top:N or full and --recipe auto; leave it out for a head")
    elif way.features != FEATURES[0]:
        raise SettingsError(f"--features {way.features} is for --tune head; leave one of them out")


def _given(*parameters: str) -> str:
    """The first of these options that the call names."""
    context = click.get_current_context()
    named = (p for p in parameters if context.get_parameter_source(p) is not ParameterSource.DEFAULT)
    options = {option.name: option.opts[0] for option in context.command.params}
    return next((options[parameter] for parameter in named), "")


def _refuse_missing(way: Way) -> None:
    """Libraries that would be missed after long work only."""
    kind = "search" if way.trials else "head" if way.top is None and not way.auto else "layers"
    missing = [name for name in LIBRARIES[kind] if not find_spec(name)]
    if missing:
        asked = "--search" if way.trials else "--recipe auto" if way.auto else f"--tune {way.tune}"
        raise SettingsError(f"{asked} needs {' and '.join(missing)}: pip install 'tagstream[train]'")


def _head(way: Way, corpus: Corpus, job: Job, settings: Settings, cache: Path, progress: Progress) -> Trained:
    from worker.engines import recipe_of
    from worker.training.head import train_head

    return train_head(
        corpus,
        replace(job, base=job.base.without_head()),
        cache=cache,
        features=way.features,
        recipe=recipe_of(settings),
        progress=progress,
    )


def _layers(way: Way, top: int | None, corpus: Corpus, job: Job, settings: Settings, progress: Progress) -> Trained:
    import time

    machine = _machine(settings)
    if way.trials is None:
        from worker.training.finetune import finetune

        until_s = None if way.budget_s is None else time.monotonic() + way.budget_s
        return finetune(corpus, job, top=top, progress=progress, options=way.tuning, machine=machine, until_s=until_s)
    from worker.training.search import Limits, search

    limits = Limits(way.trials, float("inf") if way.budget_s is None else way.budget_s)
    return search(corpus, job, top=top, limits=limits, progress=progress, options=way.tuning, machine=machine)


def _compared(way: Way, corpus: Corpus, job: Job, settings: Settings, cache: Path, progress: Progress) -> Trained:
    from worker.engines import recipe_of
    from worker.training import recipes

    how = recipes.Means(recipe_of(settings), cache, way.tuning, _machine(settings))
    return recipes.train_best(corpus, job, means=how, budget_s=way.budget_s or AUTO_BUDGET_S, progress=progress)


def _machine(settings: Settings) -> Machine:
    from worker.training.finetune import Machine

    return Machine(settings.model.device, settings.model.threads)
