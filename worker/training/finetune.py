"""Fine-tuning: a stock sequence classifier whose upper layers, or all of them, learn the labels.

The result is a directory that plain `AutoModelForSequenceClassification` loads. With `top:N` the layers below stay
those of the base, bit by bit, so that at run time both compute them once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from transformers import set_seed

from worker import __version__
from worker.errors import Stop
from worker.model.folder import HEAD_WEIGHTS, ModelFolder, read_folder
from worker.model.loading import choose_device, load_model, load_tokens, quiet
from worker.model.manifest import MANIFEST
from worker.model.network import Network, common_layers
from worker.model.threads import cpu_threads
from worker.model.tokens import Tokens
from worker.training.batches import Padding, Row, Rows, rows_of
from worker.training.calibrated import calibrate
from worker.training.checkpoints import last_checkpoint, scratch
from worker.training.classifier import label_order, load_classifier, soften, train_only_top, warm_head
from worker.training.compared import Answered
from worker.training.corpus import Corpus
from worker.training.directory import new_directory, refuse_target
from worker.training.finish import Fitted, Trained, finish
from worker.training.job import Job
from worker.training.options import FineTuning
from worker.training.progress import Progress
from worker.training.trainer import answer, loss_of, train


@dataclass(frozen=True, slots=True)
class Machine:
    """Where to train. `device` as in `model.device`; `threads` 0 is the CPU quota."""

    device: str = "auto"
    threads: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A model after its training. `valid` is what it says of that part, if there is one."""

    model: Any
    rows: Rows
    top: int | None
    valid: Answered | None
    epoch: float


def finetune(
    corpus: Corpus,
    job: Job,
    *,
    top: int | None,
    progress: Progress,
    options: FineTuning = FineTuning(),  # noqa: B008  # frozen
    machine: Machine = Machine(),
    until_s: float | None = None,
) -> Trained:
    """Train the `top` uppermost layers of `job.base`, None: all, and write `job.out`, whole or not at all.

    Interrupted, it goes on at its last checkpoint when called again for the same. Equal seeds give equal weights on a
    CPU. Ends at `until_s` of the monotonic clock with the best that it has by then. Raises `SettingsError`, and `Stop`
    where another training is writing the same.
    """
    refuse_target(job.out)
    with scratch(job.out, run_of(corpus, job, top, options, machine), progress) as place:
        fitted = fit_classifier(
            corpus,
            job,
            top=top,
            options=options,
            machine=machine,
            place=place,
            progress=progress,
            until_s=until_s,
        )
        return write_classifier(fitted, corpus, job, options, progress=progress)


def fit_classifier(
    corpus: Corpus,
    job: Job,
    *,
    top: int | None,
    options: FineTuning,
    machine: Machine,
    place: Path,
    progress: Progress,
    until_s: float | None = None,
) -> Fit:
    """As above, with checkpoints in `place`; writes nothing else."""
    torch.set_num_threads(machine.threads or cpu_threads())
    set_seed(job.seed)
    labels = label_order(job.base, corpus.labels, corpus.kind)
    model, continues = load_classifier(job.base, labels, corpus.kind)
    train_only_top(model, top)
    recipe, pad = load_tokens(job.base, model.config.pad_token_id)
    model.config.pad_token_id = pad  # decoders find a text's last token by it
    rows = rows_of(corpus, labels, Tokens(recipe), pad)
    model.to(choose_device(machine.device))
    if not continues and last_checkpoint(place) is None:
        warm_head(model, _passes(rows, options), corpus.kind, balanced=job.balanced, seed=job.seed)
    loss = loss_of(rows, balanced=job.balanced)
    with quiet():
        epoch = train(
            model, rows, options=options, loss=loss, place=place, seed=job.seed, progress=progress, until_s=until_s
        )
    return Fit(model, rows, top, _answered(model, rows.valid, rows), epoch)


def write_classifier(fit: Fit, corpus: Corpus, job: Job, options: FineTuning, *, progress: Progress) -> Trained:
    """The model directory, whole or not at all. The test part is looked at here, and nowhere else."""
    rows, model = fit.rows, fit.model
    test = _answered(model, rows.test, rows)
    calibrated = calibrate(fit.valid.answers if fit.valid else None, job.targets)
    soften(model, calibrated.temperature or 1.0)
    fitted = Fitted(
        labels=rows.labels,
        head="stock",
        features="embedding",
        calibrated=calibrated,
        chosen={**asdict(options), "epoch": round(fit.epoch, 2)},
        unread=rows.unread,
    )
    with new_directory(job.out) as built:
        with quiet():
            model.to("cpu").save_pretrained(built)
        copy_companions(job.base, built)
        trained = finish(built, corpus, job, fitted, valid=fit.valid, test=test, progress=progress)
        _refuse_unshared(job, fit.top, built)
    return trained


def run_of(corpus: Corpus, job: Job, top: int | None, options: FineTuning, machine: Machine) -> dict[str, Any]:
    """All that the weights depend on: another one is another training."""
    return {
        "data": corpus.fingerprint,
        "preparation": job.preparation.fingerprint,
        "base": job.base.revision,
        "top": top,
        "balanced": job.balanced,
        "seed": job.seed,
        "options": asdict(options),
        "device": str(choose_device(machine.device)),
        "versions": {"tagstream": __version__, **{name: version(name) for name in ("torch", "transformers")}},
    }


def _passes(rows: Rows, options: FineTuning) -> Iterator[dict[str, torch.Tensor]]:
    pad = Padding(rows.pad)
    ordered = sorted(rows.train, key=lambda row: -len(row["input_ids"]))
    return (pad(ordered[i : i + options.batch_size]) for i in range(0, len(ordered), options.batch_size))


def _answered(model: Any, part: list[Row], rows: Rows) -> Answered | None:
    return Answered(answer(model, part, rows), tuple(row["text"] for row in part)) if part else None


def copy_companions(base: ModelFolder, built: Path) -> None:
    """Tokenizer, prompt, longest text and pooling as they are in the base: what reads otherwise could not be shared."""
    inside = PurePosixPath(base.encoder.relative_to(base.root).as_posix())
    ours = {MANIFEST, HEAD_WEIGHTS, str(inside / "config.json")}
    for file in base.files:
        path = PurePosixPath(file)
        if file in ours or ".safetensors" in path.suffixes:
            continue
        target = built / (path.relative_to(inside) if path.is_relative_to(inside) else path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(base.root / file, target)
    if inside != PurePosixPath("."):
        _move_to_root(built / "modules.json", str(inside))


def _move_to_root(modules: Path, inside: str) -> None:
    """Where sentence-transformers kept the encoder in a folder: plain transformers looks for it above."""
    listed = json.loads(modules.read_text(encoding="utf-8"))
    for entry in listed:
        if entry["path"] == inside:
            entry["path"] = ""
    modules.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")


def _refuse_unshared(job: Job, top: int | None, built: Path) -> None:
    """The promise of top:N, kept by the comparison that an engine makes. Raises `Stop`, which would be our own bug."""
    if top is None:
        return
    cpu = torch.device("cpu")
    folders = job.base.without_head(), read_folder(str(built))
    one, other = (Network(load_model(folder, cpu, torch.float32)) for folder in folders)
    recipes = [load_tokens(folder, None)[0] for folder in folders]
    common = common_layers(one, other)
    if common < one.layers - top or recipes[0] != recipes[1]:
        raise Stop(f"only {common} of {one.layers} layers stayed those of {job.base.name}; please report this")
