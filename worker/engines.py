"""Settings to engines: the one that tags, what it may be replaced by while running, and the shadow beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from worker.errors import SettingsError
from worker.folderwatch import FolderWatch
from worker.logs import Level
from worker.metrics import Metrics
from worker.model.manifest import read_manifest
from worker.model.process import EngineProcess
from worker.model.recipe import ClassifierRecipe, EngineRecipe, Windows, ZeroShotRecipe
from worker.policy.routes import findings
from worker.reload import Reloadable
from worker.rules import make_policy, make_preparation
from worker.settings import Settings
from worker.shadow import Shadow
from worker.text.preparation import refuse_mismatch
from worker.types import Classifier, Engine


def recipe_of(settings: Settings) -> EngineRecipe:
    """What the settings want an engine to be made of."""
    model, text = settings.model, settings.text
    prepare = make_preparation(settings)
    return EngineRecipe(
        classifiers=(
            ClassifierRecipe(model.name, model.path, model.labels),
            *(ClassifierRecipe(more.name, more.path, more.labels) for more in model.classifiers),
        ),
        zero_shot=tuple(
            ZeroShotRecipe(zero.name, {label: tuple(map(prepare, texts)) for label, texts in zero.labels.items()})
            for zero in model.zero_shot
        ),
        encoder=settings.clusters.encoder if settings.clusters.enabled else None,
        lasting=settings.clusters.enabled,
        windows=Windows(text.window_overlap if text.long == "windows" else None, text.window_pooling),
        device=model.device,
        dtype=model.dtype,
        max_batch_tokens=model.max_batch_tokens,
        threads=model.threads,
        allow_download=model.allow_download,
        evaluation=str(model.evaluation) if model.evaluation else None,
    )


def load_model(settings: Settings, *, log_level: Level | None = None) -> EngineProcess:
    """The engine that the settings name, in its own process. Blocks for seconds; raises `SettingsError`, `Stop`.

    `log_level` is for commands of which the model's process is to say less than they.
    """
    _refuse_other_preparation(settings)
    return EngineProcess(
        recipe_of(settings),
        log_level=log_level,
        log_format=settings.logging.format,
        pass_limit_s=settings.delivery.stage_deadline_s / 2,  # time for another process before the stage is stuck
    )


def reloadable(settings: Settings, engine: Engine, metrics: Metrics) -> Reloadable:
    """The engine, to be replaced by what its directories then hold."""
    describe(engine, metrics)
    return Reloadable(
        engine=engine,
        make=lambda: load_model(settings),
        accept=lambda old, new: why_not(settings, old, new),
        changed=lambda new: describe(new, metrics),
        metrics=metrics,
    )


def check(engine: Reloadable) -> None:
    """Raises `Stop` where the model's process has died, which the stages would only see at their next batch."""
    if isinstance(engine.running, EngineProcess):
        engine.running.check()


def _refuse_other_preparation(settings: Settings) -> None:
    """A model reads texts as it was trained on them, or not at all."""
    model, prepare = settings.model, make_preparation(settings)
    for path in (model.path, *(more.path for more in model.classifiers)):
        manifest = read_manifest(Path(path)) if Path(path).is_dir() else None
        if manifest and manifest.preparation:
            refuse_mismatch(manifest.preparation.model_dump(), prepare)


def why_not(settings: Settings, old: Engine, new: Engine) -> str | None:
    """What speaks against changing over from one engine to another, with what to do."""
    if settings.clusters.enabled and old.encoder != new.encoder:
        return (
            "the new model would change the clusters' encoder; set clusters.encoder to the old encoder's directory,"
            " or start the worker again with another clusters.table"
        )
    lost = {c.name for c in old.classifiers} - {c.name for c in new.classifiers}
    if lost:
        return f"the new model has no classifier {min(lost)!r}: it gives no labels; put a classifier there"
    return next(iter(findings(make_policy(settings), new.classifiers)), None)


def describe(engine: Engine, metrics: Metrics) -> None:
    """What is loaded, as metrics; what was before is forgotten."""
    device, dtype = engine.place
    metrics.forget_models()
    for classifier in engine.classifiers:
        metrics.set_model(
            classifier=classifier.name,
            model=classifier.model,
            revision=classifier.revision,
            device=device,
            dtype=dtype,
        )
    metrics.set_parts(engine.parts)


def watch_folders(settings: Settings, changed: Callable[[], None]) -> FolderWatch | None:
    """A watch over the model's directories as they are now, before it is loaded; not over what came with a package."""
    model = settings.model
    paths = [model.path, *(more.path for more in model.classifiers), settings.clusters.encoder or ""]
    folders = [Path(path) for path in paths if path and Path(path).is_dir()]
    if not folders or not model.watch_s:
        return None
    return FolderWatch(folders=folders, every_s=model.watch_s, changed=changed)


def make_shadow(settings: Settings, running: Sequence[Classifier], metrics: Metrics) -> Shadow | None:
    """The model that only looks on, loaded; compared with the primary of the running classifiers.

    Raises `SettingsError` and `Stop`.
    """
    model, wanted = settings.model, settings.model.shadow
    if wanted is None:
        return None
    if not running:
        raise SettingsError("model.shadow has nothing to be compared with: the model gives no labels")
    primary = settings.policy.primary or running[0].name
    recipe = EngineRecipe(
        classifiers=(ClassifierRecipe(primary, wanted.path, wanted.labels),),
        lasting=False,
        windows=recipe_of(settings).windows,
        device=model.device,
        dtype="auto" if model.dtype == "int8" else model.dtype,
        max_batch_tokens=model.max_batch_tokens,
        threads=1,  # the cores belong to the model that tags
        allow_download=model.allow_download,
    )
    engine = EngineProcess(recipe, log_format=settings.logging.format)
    try:
        return Shadow(
            engine=engine,
            share=wanted.share,
            classifier=primary,
            multi_threshold=model.multi_threshold,
            metrics=metrics,
        )
    except SettingsError:
        engine.close()
        raise
