"""The engine against the stock model, one text at a time, whatever the batch."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModel, AutoModelForSequenceClassification

from tests.model.tiny import (
    WORDS,
    change_json,
    config_of,
    tokenizer_of,
    write_classifier,
    write_encoder,
    write_json,
    write_sentence_files,
)
from worker.errors import SettingsError, Stop
from worker.model import folder as folder_module
from worker.model.engine import TransformersEngine, load_engine
from worker.types import Predictions

CLOSE = {"rtol": 0.0, "atol": 1e-5}
MULTI = {"problem_type": "multi_label_classification", "num_labels": 3}


def load(path: Path, **options: Any) -> TransformersEngine:
    return load_engine(path=str(path), device="cpu", **{"threads": 1, "max_batch_tokens": 128, **options})


def texts_of(count: int, longest: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, longest))) for _ in range(count)]


def predict(engine: TransformersEngine, texts: list[str]) -> Predictions:
    return engine.infer(engine.tokenize(texts))


@torch.inference_mode()
def stock(folder: Path, texts: list[str], pool: Callable[[torch.Tensor], torch.Tensor]) -> tuple[Any, Any]:
    """Logits and pooled unit embedding from the unchanged transformers classes, a text at a time, no padding."""
    tokenizer = tokenizer_of(None)
    classifier = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    logits, embeddings = [], []
    for text in texts:
        inputs = tokenizer(text, truncation=True, max_length=62, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        logits.append(classifier(**inputs).logits[0])
        pooled = pool(classifier.base_model(**inputs)[0][0])
        embeddings.append(pooled / pooled.norm())
    return torch.stack(logits), torch.stack(embeddings).numpy()


def mean(hidden: torch.Tensor) -> torch.Tensor:
    return hidden.mean(dim=0)


@pytest.fixture(scope="module", params=["bert", "roberta", "distilbert"])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp(request.param), config_of(request.param, num_labels=3))


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return write_classifier(tmp_path / "bert", config_of("bert", num_labels=3))


def test_scores_and_embeddings_are_the_stock_models(family: Path) -> None:
    """One shared pass over a padded, sorted batch equals the stock model text by text, up to the longest."""
    texts = [*texts_of(40, 60), " ".join(WORDS), " ".join(WORDS * 2)]
    logits, embeddings = stock(family, texts, mean)
    found = predict(load(family), texts)
    np.testing.assert_allclose(found.scores[0], torch.softmax(logits, dim=-1).numpy(), **CLOSE)
    np.testing.assert_allclose(found.embeddings, embeddings, **CLOSE)
    assert found.scores[0].std(axis=0).min() > 0.01, "the texts must differ for this to show anything"


def test_neighbours_do_not_matter(family: Path) -> None:
    """The same text gets the same result in any batch and order (field report 14)."""
    engine = load(family)
    texts = texts_of(30, 60)
    together = predict(engine, texts)
    order = random.Random(1).sample(range(30), 30)
    shuffled = predict(engine, [texts[i] for i in order])
    alone = [predict(engine, [text]) for text in texts]
    for got in (shuffled.embeddings[np.argsort(order)], np.vstack([one.embeddings for one in alone])):
        np.testing.assert_allclose(got, together.embeddings, **CLOSE)
    for got in (shuffled.scores[0][np.argsort(order)], np.vstack([one.scores[0] for one in alone])):
        np.testing.assert_allclose(got, together.scores[0], **CLOSE)


def test_no_texts_give_empty_arrays(bert: Path) -> None:
    """An empty batch is a batch."""
    found = predict(load(bert), [])
    assert (found.scores[0].shape, found.embeddings.shape, found.padding_share) == ((0, 3), (0, 16), 0.0)


def test_texts_are_cut_at_the_models_length_and_marked(family: Path) -> None:
    """A text of exactly the limit is whole; one token more is cut, and says so (field report 12)."""
    tokenized = load(family).tokenize([" ".join(WORDS[:60]), " ".join([*WORDS, "w0"])])
    assert tokenized.lengths.tolist() == [62, 62]
    assert tokenized.truncated.tolist() == [False, True]
    assert tokenized.ids[1][-1] == tokenized.ids[0][-1], "the closing token stays"


def test_a_lone_surrogate_is_one_texts_problem(bert: Path) -> None:
    """It cannot be tokenised; its neighbours are as without it (field report 11)."""
    engine = load(bert)
    tokenized = engine.tokenize(["w1 w2", "secret\ud800", "w3"])
    assert tokenized.ids[1] is None
    assert list(tokenized.errors) == [1]
    assert "secret" not in tokenized.errors[1]
    found = engine.infer(tokenized)
    np.testing.assert_allclose(found.embeddings[[0, 2]], predict(engine, ["w1 w2", "w3"]).embeddings, **CLOSE)
    assert not found.embeddings[1].any()
    assert not found.failed


def test_odd_texts_are_only_texts(bert: Path) -> None:
    """Nothing, NUL bytes and a hundred thousand combining characters are tokenised like any other."""
    tokenized = load(bert).tokenize(["", "\0\0", "a" + "\u0301" * 100_000, " "])
    assert not tokenized.errors
    assert tokenized.windows.tolist() == [1, 1, 1, 1]


def test_a_budget_under_one_text_is_raised(bert: Path) -> None:
    """The longest text must fit: the budget grows to it with a warning, and all is computed (field report 13)."""
    with structlog.testing.capture_logs() as logs:
        engine = load(bert, max_batch_tokens=3)
    assert [(entry["event"], entry["used"]) for entry in logs] == [("batch_budget_raised", 62)]
    texts = [*texts_of(5, 10), " ".join(WORDS)]
    np.testing.assert_allclose(predict(engine, texts).scores[0], predict(load(bert), texts).scores[0], **CLOSE)


def test_padding_is_reported(bert: Path) -> None:
    """Texts of 12 and 3 tokens share a pass of 24: 9 are padding."""
    found = predict(load(bert), [" ".join(WORDS[:10]), "w1"])
    assert found.padding_share == pytest.approx(9 / 24)
    assert found.forward_s > 0.0


def _spoil_forward(engine: TransformersEngine, error: Exception, when: Callable[[list[Any]], bool]) -> None:
    """Make the forward pass fail for some micro-batches."""
    forward = engine._forward

    def spoiled(ids: list[Any]) -> Any:
        if when(ids):
            raise error
        return forward(ids)

    spoiled.width = forward.width  # type: ignore[attr-defined]
    engine._forward = spoiled  # type: ignore[assignment]


def test_a_text_that_fails_leaves_the_others_unharmed(bert: Path) -> None:
    """The failing text is found and named by its place; no error text is passed on."""
    engine, texts = load(bert), [*texts_of(9, 20), "w7 w7 w7"]
    expected = predict(engine, texts)
    seven = WORDS.index("w7") + 5
    _spoil_forward(engine, RuntimeError("w7 w7 w7"), lambda ids: any(row[1:4].tolist() == [seven] * 3 for row in ids))
    found = predict(engine, texts)
    assert found.failed == {9: "forward pass: RuntimeError"}
    np.testing.assert_allclose(found.embeddings[:9], expected.embeddings[:9], **CLOSE)
    assert not found.embeddings[9].any()
    assert not found.scores[0][9].any()


def test_too_little_memory_halves_the_batch(bert: Path) -> None:
    """What does not fit at once is computed in smaller parts."""
    engine, texts = load(bert), texts_of(12, 5)
    expected = predict(engine, texts)
    _spoil_forward(engine, torch.OutOfMemoryError("no"), lambda ids: len(ids) > 2)
    found = predict(engine, texts)
    assert not found.failed
    np.testing.assert_allclose(found.scores[0], expected.scores[0], **CLOSE)


def test_a_failed_device_stops_the_worker(bert: Path) -> None:
    """No text is to blame for it, so none may become a dead letter."""
    engine = load(bert)
    _spoil_forward(engine, torch.AcceleratorError("device-side assert"), lambda ids: True)
    with pytest.raises(Stop, match="device"):
        predict(engine, ["w1"])


def test_numbers_that_are_none_fail_their_text(bert: Path) -> None:
    """An overflow of one text is not passed on as a score."""
    weights = load_file(bert / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"][WORDS.index("w7") + 5] = np.nan
    save_file(weights, bert / "model.safetensors", metadata={"format": "pt"})
    found = predict(load(bert), ["w1", "w2 w7", "w3"])
    assert list(found.failed) == [1]
    assert np.isfinite(found.embeddings).all()


def test_multi_label_scores_are_independent(tmp_path: Path) -> None:
    """`problem_type` multi_label_classification gives sigmoids."""
    folder = write_classifier(tmp_path / "multi", config_of("bert", **MULTI))
    texts = texts_of(10, 20)
    engine = load(folder)
    logits, _ = stock(folder, texts, mean)
    assert engine.classifiers[0].kind == "multi"
    np.testing.assert_allclose(predict(engine, texts).scores[0], torch.sigmoid(logits).numpy(), **CLOSE)


@pytest.mark.parametrize(
    ("mode", "pool"),
    [
        ("cls_token", lambda hidden: hidden[0]),
        ("mean_tokens", mean),
        ("lasttoken", lambda hidden: hidden[-1]),
    ],
)
def test_sentence_transformers_folders(tmp_path: Path, mode: str, pool: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Embeddings are pooled as the folder says, cut at its length, with its prompt before each text."""
    folder = write_encoder(tmp_path / "encoder", config_of("bert"))
    prompts = {"prompts": {"query": "w0 w1 "}, "default_prompt_name": "query"}
    write_sentence_files(folder, pooling={f"pooling_mode_{mode}": True}, prompts=prompts)
    texts = texts_of(10, 40)
    model, expected = AutoModel.from_pretrained(folder).eval(), []
    for text in texts:
        inputs = tokenizer_of(None)("w0 w1 " + text, truncation=True, max_length=20, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            pooled = pool(model(**inputs)[0][0])
        expected.append((pooled / pooled.norm()).numpy())
    engine = load(folder)
    assert engine.classifiers == ()
    np.testing.assert_allclose(predict(engine, texts).embeddings, np.stack(expected), **CLOSE)


def test_labels_are_named_by_the_settings(bert: Path) -> None:
    """`model.labels` mends LABEL_0; name, model and revision are the classifier's own."""
    (classifier,) = load(bert, labels={"LABEL_0": "ham"}, name="spam").classifiers
    assert classifier.labels == ("ham", "LABEL_1", "LABEL_2")
    assert (classifier.name, classifier.model, len(classifier.revision)) == ("spam", "bert", 12)


def test_half_precision_checkpoints_compute_in_single(bert: Path) -> None:
    """The dtype is ours, not the checkpoint's."""
    weights = load_file(bert / "model.safetensors")
    save_file({k: v.astype(np.float16) for k, v in weights.items()}, bert / "model.safetensors", {"format": "pt"})
    change_json(bert / "config.json", dtype="float16")
    assert load(bert)._forward._model.dtype == torch.float32


@pytest.mark.parametrize("lost", ["classifier.weight", "bert.encoder.layer.1.output.dense.bias"])
def test_a_missing_weight_is_refused(bert: Path, lost: str) -> None:
    """Never a random head, nor a random layer."""
    weights = load_file(bert / "model.safetensors")
    del weights[lost]
    save_file(weights, bert / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SettingsError, match=f"lacks 1 weights, e.g. {lost}"):
        load(bert)


def test_an_encoder_may_lack_its_pooler(tmp_path: Path) -> None:
    """It is not used; checkpoints of masked language models come without."""
    folder = write_encoder(tmp_path / "encoder", config_of("bert"))
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("pooler.")}
    assert len(kept) == len(weights) - 2
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert load(folder).classifiers == ()


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
    write_json(folder / "tagstream.json", {"format": 1, "kind": "single", "labels": ["a", "b", "c"]})
    save_file({"weight": np.zeros((2, 16), np.float32), "bias": np.zeros(2, np.float32)}, folder / "head.safetensors")
    with pytest.raises(SettingsError, match="does not fit"):
        load(folder)


def test_a_model_that_fails_on_long_texts_is_refused_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A family whose position offset we do not know would fail each long text; better not to start."""
    monkeypatch.setattr(folder_module, "OFFSET_POSITIONS", frozenset())
    path = write_classifier(tmp_path / "unknown", config_of("roberta"))
    with pytest.raises(SettingsError, match="trial text"):
        load(path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="shows what happens without CUDA")
def test_a_device_that_is_not_there_is_refused(bert: Path) -> None:
    """The line says how many there are."""
    with pytest.raises(SettingsError, match="0 CUDA devices"):
        load_engine(path=str(bert), device="cuda:0", threads=1)
