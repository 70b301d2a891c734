"""What an engine is loaded from, what it says of itself, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
import torch
from safetensors.numpy import save_file

from tests.model import stock
from tests.model.stock import CLOSE, load, predict, recipe_of
from tests.model.tiny import (
    WORDS,
    change_json,
    change_weights,
    config_of,
    manifest_of,
    texts_of,
    tokenizer_of,
    write_classifier,
    write_encoder,
    write_json,
)
from worker.errors import SettingsError
from worker.model.assembly import load_engine
from worker.model.recipe import ClassifierRecipe, EngineRecipe, Windows, ZeroShotRecipe

MULTI = {"problem_type": "multi_label_classification", "num_labels": 3}


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return write_classifier(tmp_path / "bert", config_of("bert", num_labels=3))


def test_multi_label_scores_are_independent(tmp_path: Path) -> None:
    """`problem_type` multi_label_classification gives sigmoids."""
    folder = write_classifier(tmp_path / "multi", config_of("bert", **MULTI))
    texts = texts_of(10, 20)
    engine = load(folder)
    assert engine.classifiers[0].kind == "multi"
    expected = torch.sigmoid(stock.logits(folder, stock.ids_of(texts))).numpy()
    np.testing.assert_allclose(predict(engine, texts).scores[0], expected, **CLOSE)


def test_labels_are_named_by_the_settings(bert: Path) -> None:
    """`labels` mends LABEL_0; name, model and revision are the classifier's own."""
    named = ClassifierRecipe("spam", str(bert), {"LABEL_0": "ham"})
    (classifier,) = load_engine(EngineRecipe(classifiers=(named,), device="cpu")).classifiers
    assert classifier.labels == ("ham", "LABEL_1", "LABEL_2")
    assert (classifier.name, classifier.model, len(classifier.revision)) == ("spam", "bert", 12)


def test_place_and_parts_are_reported(bert: Path) -> None:
    """Device and dtype as torch names them; what was packed and computed, in the log as well."""
    with structlog.testing.capture_logs() as logs:
        engine = load(bert)
    assert engine.place == ("cpu", "float32")
    (entry,) = (entry for entry in logs if entry["event"] == "model_part")
    assert (entry["layers"], entry["computed"], entry["packed"]) == (2, 2, True)
    assert entry["names"] == ("encoder", "bert")


def test_a_recipe_travels_as_json() -> None:
    """To the model's own process and back, without loss."""
    recipe = EngineRecipe(
        classifiers=(ClassifierRecipe("spam", "some/model", {"LABEL_0": "böse"}),),
        zero_shot=(ZeroShotRecipe("topic", {"a": ("x", "y"), "b": ("z",)}),),
        encoder="minilm",
        windows=Windows(overlap=8, pooling="max"),
    )
    assert EngineRecipe.from_json(recipe.to_json()) == recipe
    assert list(EngineRecipe.from_json(recipe.to_json()).zero_shot[0].labels) == ["a", "b"]


def test_half_precision_checkpoints_compute_in_single(bert: Path) -> None:
    """The dtype is ours, not the checkpoint's."""

    def halve(weights: dict[str, torch.Tensor]) -> None:
        weights.update({name: tensor.half() for name, tensor in weights.items()})

    change_weights(bert, halve)
    change_json(bert / "config.json", dtype="float16")
    assert load(bert).place == ("cpu", "float32")


def test_bfloat16_is_near_enough(bert: Path) -> None:
    """Asked for, it is computed; packing is judged by what that dtype can tell apart."""
    engine = load(bert, dtype="bfloat16")
    texts = texts_of(10, 30)
    assert engine.place == ("cpu", "bfloat16")
    assert engine.parts[0].packed
    np.testing.assert_allclose(predict(engine, texts).embeddings, predict(load(bert), texts).embeddings, atol=0.1)


def test_a_budget_under_one_text_is_raised(bert: Path) -> None:
    """The longest text must fit: the budget grows to it with a warning, and all is computed (field report 13)."""
    with structlog.testing.capture_logs() as logs:
        engine = load(bert, max_batch_tokens=3)
    raised = [entry for entry in logs if entry["event"] == "batch_budget_raised"]
    assert [(entry["configured"], entry["used"]) for entry in raised] == [(3, 62)]
    texts = [*texts_of(5, 10), " ".join(WORDS)]
    np.testing.assert_allclose(predict(engine, texts).scores[0], predict(load(bert), texts).scores[0], **CLOSE)


@pytest.mark.parametrize("lost", ["classifier.weight", "bert.encoder.layer.1.output.dense.bias"])
def test_a_missing_weight_is_refused(bert: Path, lost: str) -> None:
    """Never a random head, nor a random layer."""
    change_weights(bert, lambda weights: weights.pop(lost))
    with pytest.raises(SettingsError, match=f"lacks 1 weights, e.g. {lost}"):
        load(bert)


@pytest.mark.parametrize("head", [True, False], ids=["classifier", "encoder"])
def test_a_weight_that_would_be_left_out_is_refused(tmp_path: Path, head: bool) -> None:
    """As transformers leaves out relative positions: the numbers would be another model's."""
    write = write_classifier if head else write_encoder
    folder = write(tmp_path / "bert", config_of("bert"))
    name = f"{'bert.' if head else ''}encoder.layer.0.attention.self.distance_embedding.weight"
    change_weights(folder, lambda weights: weights.update({name: torch.zeros(123, 8)}))
    with pytest.raises(SettingsError, match=f"has 1 weights that its class does not use, e.g. {name}") as refused:
        load(folder)
    assert "\n" not in str(refused.value)


def test_other_heads_and_old_tables_are_no_loss(tmp_path: Path) -> None:
    """A masked language model's head, a pooler, and position numbers that older checkpoints have kept."""
    folder = write_encoder(tmp_path / "encoder", config_of("bert"))
    texts = texts_of(5, 20)
    expected = stock.embeddings(folder, stock.ids_of(texts))

    def dress(weights: dict[str, torch.Tensor]) -> None:
        for name in list(weights):
            weights[f"bert.{name}"] = weights.pop(name)
        weights["bert.embeddings.position_ids"] = torch.arange(62)[None]
        weights["cls.predictions.bias"] = torch.zeros(65)
        weights["bert.pooler.extra.weight"] = torch.zeros(3)
        weights["lm_head.bias"] = torch.zeros(65)

    change_weights(folder, dress)
    np.testing.assert_allclose(predict(load(folder), texts).embeddings, expected, **CLOSE)


def test_positions_that_are_no_longer_computed_are_refused(bert: Path) -> None:
    """transformers reads over it, and would compute without."""
    change_json(bert / "config.json", position_embedding_type="absolute")
    load(bert)
    change_json(bert / "config.json", position_embedding_type="relative_key")
    with pytest.raises(SettingsError, match=r"has relative_key positions, .* choose a model"):
        load(bert)


def test_a_tokenizer_that_knows_more_than_the_model_is_refused(bert: Path) -> None:
    """One token added and the model not resized: each text with it would fail, on a card the whole worker."""
    tokenizer = tokenizer_of(None)
    tokenizer.add_tokens(["new"])
    tokenizer.save_pretrained(bert)
    with pytest.raises(SettingsError, match=r"ids up to 65, the model's embeddings are for 65; .*resize"):
        load(bert)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"])
def test_the_longest_text_is_sentence_transformers(bert: Path, kind: str) -> None:
    """It names its file after the family."""
    write_json(bert / f"sentence_{kind}_config.json", {"max_seq_length": 23, "do_lower_case": False})
    tokenized = load(bert).tokenize([" ".join(WORDS)])
    assert tokenized.lengths.tolist() == [23]


def test_an_encoder_may_lack_its_pooler(tmp_path: Path) -> None:
    """It is not used; checkpoints of masked language models come without."""
    folder = write_encoder(tmp_path / "encoder", config_of("bert"))

    def drop(weights: dict[str, torch.Tensor]) -> None:
        for name in [name for name in weights if name.startswith("pooler.")]:
            del weights[name]

    texts = texts_of(5, 20)
    expected = stock.embeddings(folder, stock.ids_of(texts))
    change_weights(folder, drop)
    engine = load(folder)
    assert engine.classifiers == ()
    np.testing.assert_allclose(predict(engine, texts).embeddings, expected, **CLOSE)


def test_damaged_weights_are_refused_in_one_line(bert: Path) -> None:
    """A file cut short is the settings' problem, not a traceback."""
    whole = (bert / "model.safetensors").read_bytes()
    (bert / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SettingsError, match="does not load") as refused:
        load(bert)
    assert "\n" not in str(refused.value)


def test_a_head_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Labels, weight and encoder must agree."""
    folder = write_encoder(tmp_path / "encoder", config_of("bert"))
    write_json(folder / "tagstream.json", manifest_of(["a", "b", "c"]))
    save_file({"weight": np.zeros((2, 16), np.float32), "bias": np.zeros(2, np.float32)}, folder / "head.safetensors")
    with pytest.raises(SettingsError, match="does not fit"):
        load(folder)


def test_an_engine_of_nothing_is_refused() -> None:
    """One line says what to set."""
    with pytest.raises(SettingsError, match=r"no model: name one with model\.path"):
        load_engine(recipe_of())


def test_a_second_classifier_without_a_head_is_refused(bert: Path, tmp_path: Path) -> None:
    """It would give no labels, and nobody would miss them."""
    encoder = write_encoder(tmp_path / "encoder", config_of("bert"))
    with pytest.raises(SettingsError, match=r"classifier encoder .* has no head"):
        load(bert, encoder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="shows what happens without CUDA")
def test_a_device_that_is_not_there_is_refused(bert: Path) -> None:
    """The line says how many there are."""
    with pytest.raises(SettingsError, match="0 CUDA devices"):
        load(bert, device="cuda:0")


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_those_asked_for(bert: Path, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch is told before anything is computed; 0 asks for the quota."""
    asked: list[Any] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.setattr("worker.model.assembly.cpu_threads", lambda: 5)
    load(bert, threads=threads)
    load(bert, threads=0)
    assert asked == [threads, 5]
