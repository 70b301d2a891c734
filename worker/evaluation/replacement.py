"""Whether a new model may take the place of the one in use: both on the same held-back texts.

Corrections are no fair sample: people correct what the model in use got wrong, so that nearly any other model is better
on them. Hence the texts that nobody has corrected are judged by themselves as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from worker.evaluation.answers import Answers, Flags, Numbers
from worker.evaluation.bootstrap import Comparison, Estimate, compare, estimates
from worker.evaluation.measures import by_label, profile
from worker.evaluation.wording import points

SHOWN = 5  # labels that one line still holds


@dataclass(frozen=True, slots=True)
class LabelChange:
    """F1 of one label, which `texts` of the held-back ones have: in use, of the new model, and the difference."""

    label: str
    texts: int
    in_use: float
    new: float
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Replacement:
    """A new model against the one in use on `texts`, of which `corrected` are from corrections.

    Above 0 the new one is better. `uncorrected` is of the other texts alone, None where there are none. Of the
    corrections `right_in_use` and `right_new` were right. `labels` begins with the one that lost most.
    """

    texts: int
    corrected: int
    macro_f1_in_use: float
    macro_f1_new: float
    whole: Comparison
    uncorrected: Comparison | None
    right_in_use: int
    right_new: int
    labels: tuple[LabelChange, ...]

    @property
    def refusal(self) -> str | None:
        """Why the new model may not replace the other: lower on all texts, or on uncorrected ones beyond chance."""
        if self.whole.macro_f1.value < 0:
            return f"macro-F1 {points(self.whole.macro_f1)} on {self.texts:,} held-back texts"
        if self.uncorrected is not None and self.uncorrected.worse:
            left = self.texts - self.corrected
            return f"macro-F1 {points(self.uncorrected.macro_f1)} on {left:,} held-back texts that nobody has corrected"
        return None


def weigh(in_use: Answers, new: Answers, corrected: Flags, *, seed: int) -> Replacement:
    """Compare two models' answers to the same texts, over the same labels."""
    ones = np.ones((1, len(corrected)))
    return Replacement(
        texts=len(corrected),
        corrected=int(corrected.sum()),
        macro_f1_in_use=float(profile(in_use, ones)["macro_f1"][0]),
        macro_f1_new=float(profile(new, ones)["macro_f1"][0]),
        whole=compare(new, in_use, seed=seed),
        uncorrected=None if corrected.all() else compare(new.of(~corrected), in_use.of(~corrected), seed=seed),
        right_in_use=int(in_use.right[corrected].sum()),
        right_new=int(new.right[corrected].sum()),
        labels=_labels(in_use, new, seed),
    )


def over(answers: Answers, labels: tuple[str, ...], truth: Flags) -> Answers:
    """The answers of a model over other labels, `truth` too: one that it does not know it never gives."""
    places = [labels.index(label) for label in answers.labels]
    scores = np.zeros(truth.shape)
    scores[:, places] = answers.scores
    return replace(answers, labels=labels, truth=truth, scores=scores)


def lines(found: Replacement) -> Iterator[str]:
    """What people are told: the whole, then its parts, then the labels that lost."""
    figures = f"{found.macro_f1_in_use:.3f} in use, {found.macro_f1_new:.3f} new"
    yield f"on {found.texts:,} held-back texts: macro-F1 {figures}, {points(found.whole.macro_f1)}"
    if found.corrected and found.uncorrected is not None:
        left = found.texts - found.corrected
        yield f"on {left:,} of them that nobody has corrected: {points(found.uncorrected.macro_f1)}"
    if found.corrected:
        right = f"{found.right_in_use:,} right in use, {found.right_new:,} new"
        yield f"of {found.corrected:,} held-back corrections: {right}"
    if lost := worse_labels(found):
        yield f"worse on {lost}"


def worse_labels(found: Replacement) -> str:
    """The labels that lost most, with what they lost; empty where none did."""
    lost = [change for change in found.labels if change.difference.value < 0]
    named = [f"{change.label[:40]!r} {points(change.difference)}" for change in lost[:SHOWN]]
    return ", ".join(named) + (f" and {len(lost) - SHOWN} more labels" if len(lost) > SHOWN else "")


def _labels(in_use: Answers, new: Answers, seed: int) -> tuple[LabelChange, ...]:
    """Of labels that some text has, or that both models give; the rest has no difference."""
    n = len(new.truth)
    before, after = (by_label(answers, np.ones((1, n)))[2][0] for answers in (in_use, new))

    def differences(weights: Numbers) -> dict[str, Numbers]:
        change = by_label(new, weights)[2] - by_label(in_use, weights)[2]
        return {label: change[:, i] for i, label in enumerate(new.labels)}

    found = estimates(differences, n, seed=seed)
    changes = [
        LabelChange(label, int(new.truth[:, i].sum()), float(before[i]), float(after[i]), found[label])
        for i, label in enumerate(new.labels)
        if label in found
    ]
    return tuple(sorted(changes, key=lambda change: change.difference.value))
