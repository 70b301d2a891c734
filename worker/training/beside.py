"""Baselines beside a model that has just been trained, on the very split: does it pay? Only those that take seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from worker.evaluation.answers import truth_of
from worker.evaluation.baseline import Baseline, Part, fit_baselines
from worker.training.compared import Answered
from worker.training.corpus import Corpus, Example
from worker.training.progress import Progress

# About a minute on two cores: characters of the training texts, and those times the labels that are told apart one by
# one. By size and not by the clock, so that the same training gives the same card.
MAX_CHARACTERS, MAX_WORK = 4_000_000, 50_000_000
FITS = 4


class Beside(NamedTuple):
    """What was fitted; `left_out` says why nothing was."""

    baselines: Sequence[Baseline] = ()
    left_out: str = ""


def fit_beside(corpus: Corpus, test: Answered, *, seed: int, progress: Progress) -> Beside:
    """TF-IDF of words and of characters, with linear SVM and naive Bayes; each answers to the texts of `test`."""
    if not corpus.valid:
        return Beside(left_out="there is no validation part to choose their strength on")
    characters = sum(len(example.text) for example in corpus.train)
    labels = test.answers.labels
    if characters > MAX_CHARACTERS or characters * (len(labels) if len(labels) > 2 else 1) > MAX_WORK:
        return Beside(left_out=f"{characters:,} characters of training texts and {len(labels)} labels would take long")

    def part(examples: Sequence[Example]) -> Part:
        return Part([e.text for e in examples], truth_of((e.labels for e in examples), labels))

    fitted = []
    with progress.task("fitting baselines", FITS) as advance:
        for baseline in fit_baselines(
            kind=corpus.kind,
            labels=labels,
            train=part(corpus.train),
            valid=part(corpus.valid),
            test=Part(test.texts, test.answers.truth),
            seed=seed,
            quick=True,
        ):
            fitted.append(baseline)
            advance(1)
    return Beside(fitted, "" if fitted else "there is not one word in the training texts")
