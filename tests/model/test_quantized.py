"""int8: what it computes, what it says that it costs, and where it is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
import torch

from tests.model.stock import load, predict
from tests.model.tiny import config_of, texts_of, write_classifier, write_tuned
from worker.errors import SettingsError
from worker.model import quantized
from worker.model.assembly import load_engine
from worker.model.loading import choose_dtype
from worker.model.losses import MOST_TEXTS, read_examples
from worker.model.quantized import QuantizedLinear
from worker.model.recipe import ClassifierRecipe, EngineRecipe, ZeroShotRecipe
from worker.types import PrecisionLoss

TEXTS = texts_of(30, 50)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("models") / "bert", config_of("bert", num_labels=3))


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _written(tmp_path_factory.mktemp("texts") / "set.jsonl", [(text, "LABEL_0") for text in TEXTS])


def _written(path: Path, examples: Sequence[tuple[str, str]]) -> str:
    lines = (json.dumps({"text": text, "label": label, "more": 1}) + "\n" for text, label in examples)
    path.write_text("".join(lines), encoding="utf-8")
    return str(path)


def _recipe(*models: Path, evaluation: str | None, **options: Any) -> EngineRecipe:
    named = tuple(ClassifierRecipe(folder.name, str(folder)) for folder in models)
    return EngineRecipe(classifiers=named, device="cpu", dtype="int8", evaluation=evaluation, **options)


def test_a_layer_is_near_the_one_it_stands_for() -> None:
    """Each token on a scale of its own: large ones take nothing from small ones, and zeros stay zeros."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(64, 32, bias=False).requires_grad_(False)
    states = torch.randn(1, 10, 64) * torch.logspace(-3, 3, 10)[:, None]
    states[0, 0] = 0.0
    got, expected = QuantizedLinear(linear)(states), linear(states)
    assert not got[0, 0].any()
    shares = (got - expected)[0, 1:].norm(dim=1) / expected[0, 1:].norm(dim=1)
    assert shares.max() < 0.05


def test_batch_mates_change_nothing(model: Path, evaluation: str) -> None:
    """Alone or among others, in whichever order, a text gets the same numbers, as it does in float32."""
    engine = load_engine(_recipe(model, evaluation=evaluation))
    together = predict(engine, TEXTS)
    for i, text in enumerate(TEXTS):
        alone = predict(engine, [text])
        np.testing.assert_allclose(alone.embeddings[0], together.embeddings[i], atol=1e-6)
        np.testing.assert_allclose(alone.scores[0][0], together.scores[0][i], atol=1e-5)


def test_the_loss_is_measured_and_said(model: Path, evaluation: str) -> None:
    """In one log line, and by the engine; it is what two engines differ by on these texts."""
    with structlog.testing.capture_logs() as logs:
        engine = load_engine(_recipe(model, evaluation=evaluation))
    before, after = predict(load(model), TEXTS), predict(engine, TEXTS)
    labels = [found.scores[0].argmax(axis=1) for found in (before, after)]
    assert engine.offer.loss == PrecisionLoss(
        texts=30,
        accuracy_float32=float((labels[0] == 0).mean()),
        accuracy=float((labels[1] == 0).mean()),
        agreement=float((labels[0] == labels[1]).mean()),
        cosine=pytest.approx(float((before.embeddings * after.embeddings).sum(axis=1).mean()), abs=1e-6),
    )
    assert (after.embeddings != before.embeddings).any()
    (entry,) = (entry for entry in logs if entry["event"] == "precision_loss")
    assert (entry["texts"], entry["dtype"], entry["agreement"]) == (30, "int8", engine.offer.loss.agreement)


def test_its_embeddings_are_not_taken_for_those_in_float32(model: Path, evaluation: str) -> None:
    """Clusters know an encoder by its fingerprint; the place says int8, and float32 states no loss."""
    full, lower = load(model), load_engine(_recipe(model, evaluation=evaluation))
    assert (full.place, lower.place) == (("cpu", "float32"), ("cpu", "int8"))
    assert lower.encoder == f"{full.encoder}-int8"
    assert full.offer.loss is None


def test_shared_layers_and_zero_shot_labels_work(model: Path, evaluation: str, tmp_path: Path) -> None:
    """Layers are compared in full before any is quantised; prototypes are embedded again."""
    tuned = write_tuned(tmp_path / "tuned", model, tuned=("layer.1.",))
    zero = (ZeroShotRecipe("topic", {"a": ("w1 w2",), "b": ("w30 w31", "w32")}),)
    recipe = _recipe(model, tuned, evaluation=evaluation, encoder=str(model), zero_shot=zero)
    engine = load_engine(recipe)
    assert [part.computed for part in engine.parts] == [2, 1]
    assert all(part.packed for part in engine.parts)
    found = predict(engine, [*TEXTS, "w1 w2"])
    assert [scores.shape for scores in found.scores] == [(31, 3), (31, 3), (31, 2)]
    assert found.scores[2][-1].argmax() == 0
    assert not found.failed


def test_an_evaluation_set_is_needed(model: Path) -> None:
    """Nobody loses accuracy without knowing how much."""
    with pytest.raises(SettingsError, match=r"set model\.evaluation"):
        load_engine(_recipe(model, evaluation=None))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("\n\n", "is empty", id="blank lines"),
        pytest.param('{"text": "secret", "label": "a"}\n\n{"text": "secret"', "line 3: is no JSON", id="not JSON"),
        pytest.param('"secret"', "line 1: is no JSON object", id="no object"),
        pytest.param('{"text": "secret"}', "line 1: label: Field required", id="no label"),
        pytest.param('{"label": "a"}', "line 1: text: Field required", id="no text"),
        pytest.param('{"text": "secret", "label": 1}', "line 1: label: .* string", id="a number"),
        pytest.param('{"text": "\\ud800", "label": "a"}', "line 1: is no JSON", id="half a character"),
    ],
)
def test_a_bad_evaluation_set_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    """In one line that says where, and nothing of the text."""
    path = tmp_path / "set.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match=reason) as refused:
        read_examples(str(path))
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_an_evaluation_set_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    """With what the system says."""
    with pytest.raises(SettingsError, match="No such file"):
        read_examples(str(tmp_path / "nowhere"))


def test_of_a_large_evaluation_set_the_beginning_counts(tmp_path: Path) -> None:
    """The start must not take for ever; what comes after is not even read."""
    path = Path(_written(tmp_path / "set.jsonl", [("w1", "LABEL_0")] * MOST_TEXTS))
    path.write_text(path.read_text(encoding="utf-8") + "broken\n", encoding="utf-8")
    assert len(read_examples(str(path))) == MOST_TEXTS


def test_labels_that_the_model_does_not_have_are_refused(model: Path, tmp_path: Path) -> None:
    """They would count as mistakes of the model."""
    path = _written(tmp_path / "set.jsonl", [("w1", "LABEL_0"), ("w2", "spam")])
    with pytest.raises(SettingsError, match="'spam'; the model has: LABEL_0, LABEL_1, LABEL_2"):
        load_engine(_recipe(model, evaluation=path))


def test_embeddings_alone_have_no_labels_to_lose(model: Path, evaluation: str) -> None:
    """Without a classifier there is no accuracy to state."""
    with pytest.raises(SettingsError, match="no classifier"):
        load_engine(_recipe(evaluation=evaluation, encoder=str(model)))


def test_cards_have_better() -> None:
    """The kernels are the CPU's."""
    with pytest.raises(SettingsError, match="int8 is for CPUs"):
        choose_dtype("int8", torch.device("cuda"))


def test_a_model_without_linear_layers_is_refused(tmp_path: Path, evaluation: str) -> None:
    """GPT-2's are of another class."""
    gpt = write_classifier(tmp_path / "gpt2", config_of("gpt2", num_labels=3))
    with pytest.raises(SettingsError, match="no linear layers"):
        load_engine(_recipe(gpt, evaluation=evaluation))


def test_a_model_that_becomes_another_is_refused(model: Path, evaluation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the evaluation set says: some models do not survive it."""
    monkeypatch.setattr(quantized, "WEIGHT_STEPS", 1)  # weights of -1, 0 and 1
    with pytest.raises(SettingsError, match=r"another model of this one .* use float32"):
        load_engine(_recipe(model, evaluation=evaluation))


def test_a_torch_without_these_layers_is_refused(model: Path, evaluation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processors, and versions to come."""
    monkeypatch.delattr(torch, "quantize_per_channel")
    with pytest.raises(SettingsError, match="no such layers here"):
        load_engine(_recipe(model, evaluation=evaluation))


def test_full_precision_is_full(model: Path) -> None:
    """TF32 is switched off when an engine is loaded."""
    load(model)
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"
