"""transformers' Trainer as a fine-tuning here uses it: our batches, our loss, our progress, nothing sent anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import EvalPrediction

from worker.errors import SettingsError
from worker.evaluation.answers import Answers, Flags, Numbers
from worker.evaluation.measures import profile
from worker.model.loading import choose_dtype
from worker.training.batches import Batches, Padding, Row, Rows
from worker.training.checkpoints import last_checkpoint
from worker.training.linear import probabilities
from worker.training.options import FineTuning
from worker.training.progress import Progress, Task

# Steps between two checkpoints at most: some minutes of a CPU, which is what an interruption costs.
CHECKPOINT_STEPS = 1000
LOGGED_STEPS = 10
ANSWERED = 32  # texts of a pass without training
MAX_WEIGHT = 50.0  # of a label: a handful of texts shall not drown the rest
METRIC = "macro_f1"

Loss = Callable[..., torch.Tensor]


class Diverged(SettingsError):
    """The weights are no numbers any more."""


def loss_of(rows: Rows, *, balanced: bool) -> Loss:
    """Cross-entropy, or of `multi` labels a binary one of each; `balanced`: rare labels weigh more."""
    weights = torch.from_numpy(_weights(rows)) if balanced else None

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        logits = outputs["logits"].float()
        own = None if weights is None else weights.to(logits.device)
        if rows.kind == "multi":
            return binary_cross_entropy_with_logits(logits, labels, pos_weight=own)
        return cross_entropy(logits, labels, weight=own)

    return loss


def train(
    model: Any,
    rows: Rows,
    *,
    options: FineTuning,
    loss: Loss,
    place: Path,
    seed: int,
    progress: Progress,
    until_s: float | None = None,
) -> float:
    """Train `model` in place, or go on at the last checkpoint in `place`; the epoch of the best state, which it gets.

    Ends at `until_s` of the monotonic clock with what it has by then.
    """
    batches = Batches([len(row["input_ids"]) for row in rows.train], size=options.batch_size, seed=seed)
    going_on = last_checkpoint(place)
    if going_on is not None:
        progress.say(f"going on with the interrupted training, at step {going_on.name.rpartition('-')[2]}")
    with progress.task("training", options.epochs * len(batches)) as task:
        trainer = _OwnBatches(
            model=model,
            args=_arguments(options, len(batches), place, seed, model.device, judged=bool(rows.valid)),
            data_collator=Padding(rows.pad),
            train_dataset=rows.train,
            eval_dataset=rows.valid or None,
            compute_loss_func=loss,
            compute_metrics=lambda found: figures(_answers(found, rows)),
            preprocess_logits_for_metrics=lambda logits, labels: logits[0] if isinstance(logits, tuple) else logits,
            callbacks=[_Watch(batches, task, progress, options.patience, until_s)],
        )
        trainer.batches = batches
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(going_on) if going_on else None)
    return float(trainer.state.best_global_step or trainer.state.global_step) / len(batches)


@torch.inference_mode()
def answer(model: Any, given: Sequence[Row], rows: Rows) -> Answers:
    """What the model says of texts, in their order. Raises `Diverged`."""
    model.eval()
    pad, logits = Padding(rows.pad), []
    for start in range(0, len(given), ANSWERED):
        batch = pad(given[start : start + ANSWERED])
        batch.pop("labels")
        logits.append(model(**{name: column.to(model.device) for name, column in batch.items()}).logits.float().cpu())
    found = torch.cat(logits).numpy()
    if not np.isfinite(found).all():
        raise Diverged("the training has diverged, its scores are no numbers; choose a lower learning rate")
    return _answers(EvalPrediction(found, np.stack([row["labels"] for row in given])), rows)


def figures(answers: Answers) -> dict[str, float]:
    """Macro-F1 and accuracy."""
    found = profile(answers, np.ones((1, len(answers.truth))))
    return {name: float(found[name][0]) for name in (METRIC, "accuracy")}


class _OwnBatches(Trainer):  # type: ignore[misc]  # transformers is not typed
    batches: Batches

    def get_train_dataloader(self) -> DataLoader[Row]:
        return DataLoader(self.train_dataset, batch_sampler=self.batches, collate_fn=self.data_collator)


class _Watch(TrainerCallback):  # type: ignore[misc]
    """Tells the batches their epoch, and people how far it is; ends a training that is done or whose time is up.

    When it is done is read from the log of the training's state, which a checkpoint keeps.
    """

    def __init__(self, batches: Batches, task: Task, progress: Progress, patience: int, until_s: float | None) -> None:
        self._batches, self._task, self._progress = batches, task, progress
        self._patience, self._until_s = patience, until_s
        self._loss = float("nan")

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._task(state.global_step)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._batches.epoch = int(state.epoch)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._task(1)
        if self._until_s is not None and time.monotonic() >= self._until_s:
            control.should_evaluate = control.should_save = control.should_training_stop = True
        if _looks_since_best(state) >= self._patience:  # it was interrupted after its end
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        if "loss" in logs:
            self._loss = logs["loss"]
            self._task(0, f"loss {self._loss:.3f}")

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        found = f"macro-F1 {metrics[f'eval_{METRIC}']:.3f}, accuracy {metrics['eval_accuracy']:.3f}"
        self._progress.say(f"epoch {state.epoch:.3g}: loss {self._loss:.3f}; validation {found}")
        if _looks_since_best(state) >= self._patience:
            control.should_training_stop = True


def _looks_since_best(state: Any) -> int:
    """How many looks at the validation part came after the best one."""
    scores = [entry[f"eval_{METRIC}"] for entry in state.log_history if f"eval_{METRIC}" in entry]
    return len(scores) - 1 - scores.index(max(scores)) if scores else 0


def _arguments(
    options: FineTuning, epoch_steps: int, place: Path, seed: int, device: torch.device, *, judged: bool
) -> TrainingArguments:
    when = "steps" if judged else "no"
    interval = -(-epoch_steps // -(-epoch_steps // CHECKPOINT_STEPS))  # equal parts of an epoch
    return TrainingArguments(
        output_dir=str(place),
        num_train_epochs=options.epochs,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=2 * options.batch_size,
        seed=seed,
        bf16=device.type == "cuda" and choose_dtype("auto", device) is torch.bfloat16,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
        eval_strategy=when,
        eval_steps=interval,
        save_strategy="steps",
        save_steps=interval,
        save_total_limit=2,
        load_best_model_at_end=judged,
        metric_for_best_model=METRIC if judged else None,
        greater_is_better=True if judged else None,
        logging_steps=min(LOGGED_STEPS, epoch_steps),
        remove_unused_columns=False,
        label_names=["labels"],
        disable_tqdm=True,
        report_to="none",
    )


def _answers(found: EvalPrediction, rows: Rows) -> Answers:
    logits: Numbers = np.nan_to_num(np.asarray(found.predictions, np.float64))  # a training that has diverged
    truth: Flags = found.label_ids > 0
    if rows.kind == "single":
        truth = found.label_ids[:, None] == np.arange(len(rows.labels))
    return Answers(rows.kind, rows.labels, truth, probabilities(rows.kind, logits))


def _weights(rows: Rows) -> NDArray[np.float32]:
    """Of labels in the loss: as if all were equally frequent; of `multi`, as if each were in half of the texts."""
    targets = np.stack([row["labels"] for row in rows.train])
    if rows.kind == "single":
        counts = np.bincount(targets, minlength=len(rows.labels))
        weights = len(targets) / (len(counts) * np.maximum(counts, 1))
    else:
        counts = targets.sum(axis=0)
        weights = (len(targets) - counts) / np.maximum(counts, 1)
    return np.asarray(np.clip(weights, 1 / MAX_WEIGHT, MAX_WEIGHT), np.float32)
