"""TF-IDF baselines: what they learn, what they give, which one counts."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.cases import drawn
from worker.evaluation.answers import truth_of
from worker.evaluation.baseline import Baseline, Part, best_of, fit_baselines

LABELS = ("ham", "never", "spam")


def part(count: int, seed: int, *, chinese: bool = False) -> Part:
    """Texts whose words, or characters, tell their label nearly always."""
    draw = random.Random(seed)
    words = (
        {"ham": "明天见你好吗", "spam": "免费中奖点击"} if chinese else {"ham": "cat hat mat", "spam": "win cash now"}
    )
    texts, named = [], []
    for i in range(count):
        label = ("ham", "spam")[i % 2]
        own = list(words[label]) if chinese else words[label].split()
        texts.append(("" if chinese else " ").join(draw.choices([*own, "的" if chinese else "the"], k=6)))
        named.append([label])
    return Part(texts, truth_of(named, LABELS))


def fitted(**options: object) -> list[Baseline]:
    parts = {"train": part(60, 1), "valid": part(20, 2), "test": part(30, 3)} | options
    return list(fit_baselines(kind="single", labels=LABELS, seed=0, **parts))  # type: ignore[arg-type]


def test_six_baselines_on_words_and_characters() -> None:
    """Each learns easy texts; naive Bayes and logistic regression give probabilities, the SVM margins."""
    found = fitted()
    assert [(b.features, b.name) for b in found] == [
        (features, name)
        for features in ("words", "characters")
        for name in ("linear SVM", "logistic regression", "naive Bayes")
    ]
    for baseline in found:
        assert baseline.test.right.mean() > 0.9, baseline.name
        assert baseline.test.scores.shape == (30, 3)
        if baseline.test.probable:
            np.testing.assert_allclose(baseline.test.scores.sum(axis=1), 1.0)


def test_characters_serve_a_language_without_spaces() -> None:
    """A Chinese sentence is one word, and no text has the same one."""
    chinese = {
        "train": part(60, 1, chinese=True),
        "valid": part(20, 2, chinese=True),
        "test": part(30, 3, chinese=True),
    }
    found = {(b.features, b.name): b.test.right.mean() for b in fitted(**chinese)}
    assert found["characters", "linear SVM"] > 0.9
    assert found["words", "linear SVM"] < 0.7


def test_several_labels_a_text() -> None:
    """One yes or no for each label, also for one that no training text has, and for a lone label."""
    texts = part(60, 1).texts
    for labels in (LABELS, ("spam",)):
        named = [[name for name in ("ham", "spam") if name in labels and i % 2 == (name == "spam")] for i in range(60)]
        whole = Part(texts, truth_of(named, labels))
        found = list(fit_baselines(kind="multi", labels=labels, train=whole, valid=whole, test=whole, seed=0))
        assert len(found) == 6
        assert min(baseline.test.right.mean() for baseline in found) > 0.9


def test_the_strength_is_chosen_on_validation() -> None:
    """Where training labels are often wrong, clean validation texts choose otherwise than the training texts would."""
    train = part(60, 1)
    flipped = np.random.default_rng(0).random(60) < 0.3
    noisy = Part(train.texts, np.where(flipped[:, None], train.truth[:, ::-1], train.truth))
    clean = [b.strength for b in fitted(train=noisy)]
    assert clean != [b.strength for b in fitted(train=noisy, valid=noisy)]
    assert clean == [b.strength for b in fitted(train=noisy, test=part(10, 9))]


def test_the_best_is_the_hardest_opponent() -> None:
    """On the test texts themselves, so that the model is never flattered; of none there is none."""
    chance, good = drawn(n=100), drawn(n=100, seed=1)
    perfect = replace(good, scores=good.truth.astype(float))
    found = [Baseline("a", "words", 1.0, macro_f1, 0.1, test) for macro_f1, test in ((0.9, chance), (0.8, perfect))]
    assert best_of(found) is found[1]
    assert best_of([]) is None


def test_texts_without_a_word_have_characters_still() -> None:
    """Where there is not one word, the baselines on words are left out and the others stand."""
    smileys = Part([":-)", ":-("] * 10, truth_of([["ham"], ["spam"]] * 10, LABELS))
    assert {b.features for b in fitted(train=smileys, valid=smileys, test=smileys)} == {"characters"}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_seed_decides(seed: int) -> None:
    """The same seed gives the same scores."""
    one, two = (
        list(
            fit_baselines(
                kind="single", labels=LABELS, train=part(60, 1), valid=part(20, 2), test=part(30, 3), seed=seed
            )
        )
        for _ in range(2)
    )
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.test.scores, b.test.scores)
