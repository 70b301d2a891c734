"""Labels without training data: the nearest mean of what the encoder makes of their descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers.models.bert.modeling_bert import BertLayer

from tests.model import stock
from tests.model.stock import CLOSE, load, predict, unit
from tests.model.tiny import config_of, texts_of, write_classifier, write_encoder
from worker.errors import SettingsError
from worker.model.engine import TransformersEngine
from worker.model.recipe import ZeroShotRecipe
from worker.types import Classifier

LABELS = {"parcel": ("w1 w2 w3", "w4 w5"), "bees": ("w6",), "other": ("w10 w11", "w12", "w13 w14 w15")}
TEXTS = texts_of(20, 40)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("zero") / "encoder", config_of("bert"))


def engine_of(encoder: Path, labels: Mapping[str, tuple[str, ...]] = LABELS, *more: Path) -> TransformersEngine:
    return load(*more, encoder=encoder, zero_shot=(ZeroShotRecipe("topic", labels),))


def classifier_of(encoder: Path, labels: Mapping[str, tuple[str, ...]]) -> Classifier:
    return engine_of(encoder, labels).classifiers[-1]


def expected_scores(encoder: Path, texts: list[str]) -> Any:
    """Softmax of 20 times the cosine to each label's mean."""
    means = [stock.embeddings(encoder, stock.ids_of(described)).mean(axis=0) for described in LABELS.values()]
    powers = np.exp(20.0 * stock.embeddings(encoder, stock.ids_of(texts)) @ unit(np.stack(means)).T)
    return powers / powers.sum(axis=1, keepdims=True)


def test_the_nearest_description_wins(encoder: Path) -> None:
    """Scores are those of any classifier, one for each label; a description itself belongs to its label."""
    engine = engine_of(encoder)
    found = predict(engine, TEXTS)
    (classifier,) = engine.classifiers
    assert (classifier.name, classifier.kind, classifier.model) == ("topic", "single", "zero-shot")
    assert classifier.labels == ("parcel", "bees", "other")
    assert found.classifiers == engine.classifiers
    np.testing.assert_allclose(found.scores[0], expected_scores(encoder, TEXTS), rtol=0.0, atol=1e-4)
    np.testing.assert_allclose(found.embeddings, stock.embeddings(encoder, stock.ids_of(TEXTS)), **CLOSE)
    assert predict(engine, ["w6"]).scores[0].argmax() == 1


def test_it_stands_beside_other_classifiers(encoder: Path, tmp_path: Path) -> None:
    """Each has its own scores; the prototypes are the encoder's, not the classifier's."""
    spam = write_classifier(tmp_path / "spam", config_of("bert", num_labels=2))
    engine = engine_of(encoder, LABELS, spam)
    found = predict(engine, TEXTS)
    assert [classifier.name for classifier in engine.classifiers] == ["spam", "topic"]
    np.testing.assert_allclose(found.scores[0], stock.scores(spam, stock.ids_of(TEXTS)), **CLOSE)
    np.testing.assert_allclose(found.scores[1], expected_scores(encoder, TEXTS), rtol=0.0, atol=1e-4)


def test_it_costs_no_forward_pass(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is computed as often as without it."""
    calls, forward = [], BertLayer.forward

    def counted(self: Any, *given: Any, **options: Any) -> Any:
        calls.append(self)
        return forward(self, *given, **options)

    plain, zero_shot = load(encoder), engine_of(encoder)
    monkeypatch.setattr(BertLayer, "forward", counted)
    for engine in (plain, zero_shot):
        calls.clear()
        predict(engine, TEXTS[:1])
        assert len(calls) == 2


def test_the_revision_follows_descriptions_and_encoder(encoder: Path, tmp_path: Path) -> None:
    """A result says which of them it came from; the same ones give the same revision."""
    moved = {"parcel": ("w1 w2 w3",), "bees": ("w4 w5", "w6"), "other": LABELS["other"]}
    changed = LABELS | {"bees": ("w7",)}
    other = write_encoder(tmp_path / "other", config_of("bert"), seed=9)
    revisions = [classifier_of(encoder, labels).revision for labels in (LABELS, moved, changed)]
    revisions.append(classifier_of(other, LABELS).revision)
    assert len(set(revisions)) == 4
    assert classifier_of(encoder, dict(LABELS)).revision == revisions[0]
    assert {len(revision) for revision in revisions} == {12}


def test_a_description_that_cannot_be_embedded_is_refused(encoder: Path) -> None:
    """The line names the label, not what was written."""
    with pytest.raises(SettingsError, match="zero-shot label 'bees'") as refused:
        engine_of(encoder, LABELS | {"bees": ("w6", "secret \ud800")})
    assert "secret" not in str(refused.value)


def test_a_text_that_failed_has_no_scores(encoder: Path) -> None:
    """Zeros, as for any classifier."""
    engine = engine_of(encoder)
    tokenized = engine.tokenize(["w1", "\ud800"])
    found = engine.infer(tokenized)
    assert list(tokenized.errors) == [1]
    np.testing.assert_allclose(found.scores[0][0], predict(engine, ["w1"]).scores[0][0], **CLOSE)
    assert not found.embeddings[1].any()
    assert not found.scores[0][1].any()
