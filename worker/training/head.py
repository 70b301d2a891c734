"""A linear head on a frozen encoder: labels from a few thousand texts, in under a minute on two cores.

The result is a model directory: the encoder's own files, and beside them the head, `head.safetensors`, with `weight`
[labels, d] and `bias` [labels]; with characters also `ngrams` [labels, buckets].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from worker.errors import SettingsError
from worker.evaluation.answers import Answers, truth_of
from worker.model.folder import HEAD_WEIGHTS
from worker.model.loading import CHARACTERS
from worker.model.manifest import Features
from worker.model.recipe import EngineRecipe
from worker.training.calibrated import calibrate
from worker.training.compared import Answered
from worker.training.corpus import SPLITS, Corpus, Example, Split
from worker.training.directory import copy_model, new_directory, refuse_target
from worker.training.embedding import embeddings_of, readable
from worker.training.finish import Fitted, Trained, finish
from worker.training.job import Job
from worker.training.linear import STRENGTHS, USUAL, Linear, Part, best_of, fit, probabilities
from worker.training.progress import Progress
from worker.training.scales import column_scales

# How far n-grams are spread against the embedding, in what the fit sees: which of the two to trust more depends on the
# data.
CHARACTER_SCALES = (0.5, 1.0, 2.0, 4.0)
USUAL_SCALE = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class _Readable:
    """A split's texts that the encoder could read, with their features."""

    examples: tuple[Example, ...]
    part: Part


@dataclass(frozen=True, slots=True, eq=False)
class HeadFit:
    """A head after its fit. `unread` texts are in none of its `splits`; `width` is the embedding's."""

    linear: Linear
    features: Features
    width: int
    chosen: dict[str, float | int | str]
    splits: Mapping[Split, _Readable]
    unread: int


def train_head(
    corpus: Corpus,
    job: Job,
    *,
    cache: Path,
    features: Features = "embedding",
    recipe: EngineRecipe | None = None,
    progress: Progress,
) -> Trained:
    """Fit the head and write the model directory, whole or not at all. An earlier model there is replaced.

    `recipe` says where and how the encoder runs. Embeddings are kept in `cache`. Raises `SettingsError`.
    """
    refuse_target(job.out)
    fit = fit_head(corpus, job, cache=cache, features=features, recipe=recipe, progress=progress)
    return write_head(fit, corpus, job, progress=progress)


def fit_head(
    corpus: Corpus,
    job: Job,
    *,
    cache: Path,
    features: Features,
    recipe: EngineRecipe | None,
    progress: Progress,
) -> HeadFit:
    """As above, but writes no model and asks nothing of the test part."""
    examples = [example for split in SPLITS for example in corpus.of(split)]
    texts = [example.text for example in examples]
    embeddings = embeddings_of(texts, folder=job.base, recipe=recipe or EngineRecipe(), cache=cache, progress=progress)
    splits = _splits(corpus, embeddings, features)
    unread = len(texts) - sum(len(split.examples) for split in splits.values())
    train, valid = splits["train"], splits.get("valid")
    _refuse_lost_labels(corpus, train)
    linear, chosen = _fit(train.part, valid.part if valid else None, embeddings.shape[1], corpus, job, progress)
    return HeadFit(linear, features, embeddings.shape[1], chosen, splits, unread)


def write_head(fit: HeadFit, corpus: Corpus, job: Job, *, progress: Progress) -> Trained:
    """The model directory, whole or not at all. The test part is looked at here, and nowhere else."""
    valid, test = answered(fit, "valid", corpus), answered(fit, "test", corpus)
    calibrated = calibrate(valid.answers if valid else None, job.targets)
    fitted = Fitted(corpus.labels, "linear", fit.features, calibrated, fit.chosen, fit.unread)
    with new_directory(job.out) as built:
        copy_model(job.base, built)
        _save(fit.linear.over(calibrated.temperature or 1.0), fit.width, built)
        return finish(built, corpus, job, fitted, valid=valid, test=test, progress=progress)


def answered(fit: HeadFit, split: Split, corpus: Corpus) -> Answered | None:
    """What the head says of a split; None where that is empty."""
    if split not in fit.splits:
        return None
    examples, part = fit.splits[split].examples, fit.splits[split].part
    scores = probabilities(corpus.kind, fit.linear.logits(part.features))
    answers = Answers(corpus.kind, corpus.labels, part.truth, scores)
    return Answered(answers, tuple(example.text for example in examples))


def _splits(corpus: Corpus, embeddings: NDArray[np.float32], features: Features) -> dict[Split, _Readable]:
    """The splits that are not empty."""
    found: dict[Split, _Readable] = {}
    usable, start = readable(embeddings), 0
    for split in SPLITS:
        examples = corpus.of(split)
        rows = slice(start, start + len(examples))
        start += len(examples)
        kept = tuple(example for example, good in zip(examples, usable[rows], strict=True) if good)
        if kept:
            matrix = _features(embeddings[rows][usable[rows]], kept, features)
            found[split] = _Readable(kept, Part(matrix, truth_of((e.labels for e in kept), corpus.labels)))
    if "train" not in found:
        raise SettingsError("the encoder could read none of the texts to train on; check the column with the text")
    return found


def _features(embeddings: NDArray[np.float32], examples: Sequence[Example], features: Features) -> Any:
    if features == "embedding":
        return embeddings.astype(np.float64)
    from scipy.sparse import csr_matrix, hstack

    from worker.model.characters import character_matrix

    characters = character_matrix([example.text for example in examples])
    return hstack([csr_matrix(embeddings, dtype=np.float64), characters], format="csr")


def _fit(
    train: Part, valid: Part | None, width: int, corpus: Corpus, job: Job, progress: Progress
) -> tuple[Linear, dict[str, float | int | str]]:
    """The best head, and what was chosen for it. Scales are in its weights."""
    scales = column_scales(train.features, width)

    def fitted(ratio: float, strengths: Sequence[float]) -> Linear:
        own = np.where(np.arange(len(scales)) < width, scales, scales * ratio)
        parts = train.scaled(own), valid.scaled(own) if valid else None
        found = fit(corpus.kind, *parts, balanced=job.balanced, seed=job.seed, progress=progress, strengths=strengths)
        return replace(found, weight=found.weight * own)

    if train.features.shape[1] == width:
        linear = fitted(1.0, STRENGTHS)
        return linear, {"C": linear.strength}
    ratio = USUAL_SCALE
    if valid:  # what one of the two is best at hardly depends on the other
        heads = [fitted(scale, (USUAL,)) for scale in CHARACTER_SCALES]
        ratio = CHARACTER_SCALES[heads.index(best_of(heads))]
    linear = fitted(ratio, STRENGTHS)
    return linear, {"C": linear.strength, "scale of characters": ratio}


def _refuse_lost_labels(corpus: Corpus, train: _Readable) -> None:
    counts = train.part.truth.sum(axis=0).tolist()
    lost = [label for label, count in zip(corpus.labels, counts, strict=True) if not count]
    if lost:
        raise SettingsError(
            f"the encoder could read no training text of {len(lost)} labels, such as {lost[0][:40]!r}; mend those texts"
        )


def _save(linear: Linear, width: int, built: Path) -> None:
    weight = linear.weight.astype(np.float32)
    tensors: Mapping[str, NDArray[np.float32]] = {"weight": weight[:, :width], "bias": linear.bias.astype(np.float32)}
    if weight.shape[1] > width:
        tensors = {**tensors, CHARACTERS: weight[:, width:]}
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, built / HEAD_WEIGHTS)
