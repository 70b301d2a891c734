"""Small answers for the tests: some that can be counted by hand, some drawn by a seed."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from worker.evaluation.answers import Answers, Kind, truth_of
from worker.evaluation.outcome import Facts

LABELS = ("ham", "spam", "scam")


def single(*rows: tuple[str, list[float]], labels: tuple[str, ...] = LABELS) -> Answers:
    """Rows of the right label and the scores."""
    truth = truth_of(([label] for label, _ in rows), labels)
    return Answers("single", labels, truth, np.array([scores for _, scores in rows], np.float64))


def multi(*rows: tuple[list[str], list[float]], labels: tuple[str, ...] = LABELS) -> Answers:
    """Rows of the right labels and the scores."""
    truth = truth_of((names for names, _ in rows), labels)
    return Answers("multi", labels, truth, np.array([scores for _, scores in rows], np.float64))


def drawn(kind: Kind = "single", *, n: int = 200, labels: int = 3, seed: int = 0, sharpness: float = 1.0) -> Answers:
    """Answers whose scores are true as they are where `sharpness` is 1: labels are drawn with these probabilities."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2.0, size=(n, labels))
    names = tuple(f"label {i}" for i in range(labels))
    if kind == "multi":
        truth = random.random((n, labels)) < 1 / (1 + np.exp(-logits))
        return Answers("multi", names, truth, 1 / (1 + np.exp(-logits * sharpness)))
    shares = _softmax(logits)
    truth = (random.random((n, 1)) < shares.cumsum(axis=1)).argmax(axis=1)[:, None] == np.arange(labels)
    return Answers("single", names, truth, _softmax(logits * sharpness))


@st.composite
def answers(draw: st.DrawFn, kinds: tuple[Kind, ...] = ("single", "multi")) -> Answers:
    """Any answers, with few different scores, so that many are equal; as float32 gives them."""
    kind = draw(st.sampled_from(kinds))
    n, labels = draw(st.integers(2, 25)), draw(st.integers(2, 4))
    numbers = st.lists(st.integers(0, 6), min_size=n * labels, max_size=n * labels)
    scores = np.array(draw(numbers), np.float64).reshape(n, labels)
    right = np.array(draw(st.lists(st.integers(0, labels - 1), min_size=n, max_size=n)))
    truth = right[:, None] == np.arange(labels)
    if kind == "multi":
        truth = truth | (np.array(draw(numbers)).reshape(n, labels) > 4)
        shares = scores / 6
    else:
        shares = _softmax(scores)
    names = tuple(f"label {i}" for i in range(labels))
    return Answers(kind, names, truth, shares.astype(np.float32).astype(np.float64))


def shuffled(found: Answers, seed: int) -> Answers:
    return found.of(np.random.default_rng(seed).permutation(len(found.truth)))


def facts(kind: Kind = "single", temperature: float | None = None) -> Facts:
    return Facts(
        model="spam-model",
        revision="0123456789ab",
        kind=kind,
        data="texts.csv",
        fingerprint="f" * 64,
        split="test",
        texts={"train": 700, "valid": 200, "test": 200},
        dropped={"empty_text": 3},
        temperature=temperature,
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
