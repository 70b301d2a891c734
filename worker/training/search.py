"""The search for a fine-tuning's options: Optuna proposes, the validation part judges, within a time.

The first trial is of the options as given, so that a search never ends with less on validation. The test part is looked
at once, by the best trial's model.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from worker.errors import SettingsError
from worker.training.checkpoints import scratch
from worker.training.classifier import can_freeze, layers_of
from worker.training.corpus import Corpus
from worker.training.directory import refuse_target
from worker.training.finetune import Fit, Machine, fit_classifier, run_of, write_classifier
from worker.training.finish import Trained
from worker.training.job import Job
from worker.training.options import FineTuning
from worker.training.progress import Progress
from worker.training.trainer import Diverged, figures
from worker.training.trials import Trial, best_of, plot, read_trials, write_trials

TRIALS, PLOT = "trials.jsonl", "trials.svg"

# Widened to hold what is given.
LEARNING_RATES = (1e-5, 3e-4)
EPOCHS = (1, 8)  # early stopping ends many of them, but the learning rate falls more slowly
WEIGHT_DECAYS = (0.0, 0.2)
SAMPLERS = 10_000  # seeds of a search, one a trial

Space = dict[str, BaseDistribution]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a search: so many trials, in so many seconds of training."""

    trials: int
    budget_s: float = float("inf")


def search(
    corpus: Corpus,
    job: Job,
    *,
    top: int | None,
    limits: Limits,
    progress: Progress,
    options: FineTuning = FineTuning(),  # noqa: B008  # frozen
    machine: Machine = Machine(),  # noqa: B008
) -> Trained:
    """Try other learning rates, epochs, layers and weight decays than given, and write the best model to `job.out`.

    The trials lie in it as `trials.jsonl` and `trials.svg`. Interrupted, it goes on when called again for the same.
    Raises as `finetune` does.
    """
    refuse_target(job.out)
    if not corpus.valid:
        raise SettingsError("a search needs a validation part to judge by: mark some rows valid, or give more data")
    whole = {"search": version("optuna"), **run_of(corpus, job, top, options, machine)}
    with scratch(job.out, whole, progress) as place:
        attempts = _Attempts(corpus, job, machine, place, progress)
        trials = _run(attempts, _Space(job, top, options), limits, options)
        best = best_of(trials)
        progress.say(f"best of {len(trials)} trials: number {best.number}, macro-F1 {best.macro_f1:.3f} on validation")
        # It is trained already; one that was cut short is to stay so.
        fitted = attempts.fit(corpus, best, time.monotonic() if not best.whole else None)
        trained = write_classifier(fitted, corpus, attempts.job_of(best), best.options, progress=progress)
        write_trials(job.out / TRIALS, trials)
        (job.out / PLOT).write_text(plot(trials, layers_of(job.base)), encoding="utf-8")
        return trained


def _run(attempts: _Attempts, space: _Space, limits: Limits, options: FineTuning) -> list[Trial]:
    trials = read_trials(attempts.place / TRIALS)
    study = space.study(trials)
    for number in range(len(trials), limits.trials):
        left_s = limits.budget_s - sum(trial.seconds for trial in trials)
        if left_s <= 0:
            break
        # A seed for each, so that a trial that was interrupted is proposed again, and goes on.
        study.sampler = optuna.samplers.TPESampler(seed=attempts.job.seed * SAMPLERS + number)
        proposed = study.ask(space.distributions)
        trial = attempts.made(Trial(number, *space.read(proposed.params, options), 0.0, 0.0, True), left_s)
        study.tell(proposed, trial.macro_f1)
        trials.append(trial)
        write_trials(attempts.place / TRIALS, trials)
        attempts.keep_only(best_of(trials))
    return trials


@dataclass(frozen=True, slots=True)
class _Attempts:
    """Trains trials, each with its checkpoints in a directory of its number."""

    corpus: Corpus
    job: Job
    machine: Machine
    place: Path
    progress: Progress

    def made(self, trial: Trial, left_s: float) -> Trial:
        """The trial with its result. It never sees the test part."""
        began_s = time.monotonic()
        self.progress.say(f"trial {trial.number}: {_named(trial)}")
        try:
            valid = self.fit(replace(self.corpus, test=()), trial, began_s + left_s).valid
        except Diverged:
            valid = None
        seconds = time.monotonic() - began_s
        reached = figures(valid.answers)["macro_f1"] if valid is not None else 0.0
        return replace(trial, macro_f1=reached, seconds=round(seconds, 1), whole=seconds < left_s)

    def fit(self, corpus: Corpus, trial: Trial, until_s: float | None) -> Fit:
        """Goes on where it was interrupted; a trial that has ended is only loaded."""
        return fit_classifier(
            corpus,
            self.job_of(trial),
            top=trial.top,
            options=trial.options,
            machine=self.machine,
            place=self._place(trial),
            progress=self.progress,
            until_s=until_s,
        )

    def job_of(self, trial: Trial) -> Job:
        return replace(self.job, tune="full" if trial.top is None else f"top:{trial.top}")

    def keep_only(self, best: Trial) -> None:
        """Checkpoints of the others are of no more use, and large."""
        for other in self.place.glob("trial-*"):
            if other != self._place(best):
                shutil.rmtree(other)

    def _place(self, trial: Trial) -> Path:
        return self.place / f"trial-{trial.number}"


class _Space:
    """What Optuna chooses from; one layer more than there are stands for the whole model."""

    def __init__(self, job: Job, top: int | None, given: FineTuning) -> None:
        self._whole = layers_of(job.base) + 1
        self._first = {
            "learning_rate": given.learning_rate,
            "epochs": given.epochs,
            "weight_decay": given.weight_decay,
            "layers": top or self._whole,
        }
        self.distributions: Space = {
            "learning_rate": FloatDistribution(*_with(given.learning_rate, *LEARNING_RATES), log=True),
            "epochs": IntDistribution(*_with(given.epochs, *EPOCHS)),
            "weight_decay": FloatDistribution(*_with(given.weight_decay, *WEIGHT_DECAYS)),
            "layers": IntDistribution(1 if can_freeze(job.base) else self._whole, self._whole),
        }

    def study(self, trials: Sequence[Trial]) -> optuna.Study:
        """With what has been tried already; otherwise it begins with what is given."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize")
        for trial in trials:
            params = {name: getattr(trial.options, name, trial.top or self._whole) for name in self.distributions}
            known = optuna.trial.create_trial(params=params, distributions=self.distributions, value=trial.macro_f1)
            study.add_trial(known)
        if not trials:
            study.enqueue_trial(self._first)
        return study

    def read(self, params: Mapping[str, Any], options: FineTuning) -> tuple[int | None, FineTuning]:
        """How many layers learn, None: all; and the options."""
        chosen = {name: value for name, value in params.items() if name != "layers"}
        return None if params["layers"] == self._whole else params["layers"], replace(options, **chosen)


def _with(given: float, low: float, high: float) -> tuple[Any, Any]:
    return min(low, given), max(high, given)


def _named(trial: Trial) -> str:
    layers = "all layers" if trial.top is None else f"top {trial.top}"
    options = trial.options
    return (
        f"learning rate {options.learning_rate:.2g}, {options.epochs} epochs, {layers},"
        f" weight decay {options.weight_decay:.2g}"
    )
