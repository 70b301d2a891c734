"""What fails while running: one text's problem stays its own, memory that ends makes smaller batches, a card stops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
import torch
from transformers.models.gpt2.modeling_gpt2 import GPT2Model
from transformers.models.roberta.modeling_roberta import RobertaModel

from tests.model.stock import CLOSE, load, predict
from tests.model.tiny import (
    SPECIAL,
    WORDS,
    change_weights,
    config_of,
    texts_of,
    write_classifier,
    write_encoder,
    write_tuned,
)
from worker.errors import Stop
from worker.model.engine import TransformersEngine
from worker.types import Predictions

SEVEN = len(SPECIAL) + WORDS.index("w7")
Spoil = Callable[[torch.Tensor], None]


@pytest.fixture(params=["roberta", "gpt2"], ids=["packed", "padded"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> TransformersEngine:
    engine = load(write_classifier(tmp_path / request.param, config_of(request.param, num_labels=3)))
    assert engine.parts[0].packed == (request.param == "roberta")
    return engine


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[[Spoil], list[int]]:
    """Have the models look at their token ids before a pass; the tokens of each pass come back."""

    def install(before: Spoil) -> list[int]:
        passes: list[int] = []
        for kind in (RobertaModel, GPT2Model):

            def forward(self: Any, input_ids: Any, _forward: Any = kind.forward, **options: Any) -> Any:
                passes.append(input_ids.numel())
                before(input_ids)
                return _forward(self, input_ids=input_ids, **options)

            monkeypatch.setattr(kind, "forward", forward)
        return passes

    return install


def memory_of(tokens: int, error: Exception | None = None) -> Spoil:
    """An allocator that has room for so many tokens."""

    def allocate(ids: torch.Tensor) -> None:
        if ids.numel() > tokens:
            raise error or torch.OutOfMemoryError("no room")

    return allocate


def assert_same(found: Predictions, expected: Predictions, rows: Sequence[int]) -> None:
    np.testing.assert_allclose(found.embeddings[rows], expected.embeddings[rows], **CLOSE)
    np.testing.assert_allclose(found.scores[0][rows], expected.scores[0][rows], **CLOSE)


def assert_nothing(found: Predictions, row: int) -> None:
    assert not found.embeddings[row].any()
    assert not found.scores[0][row].any()


def test_a_lone_surrogate_is_one_texts_problem(engine: TransformersEngine) -> None:
    """It cannot be tokenised; its neighbours are as without it (field report 11)."""
    tokenized = engine.tokenize(["w1 w2", "secret\ud800", "w3"])
    assert tokenized.ids[1] is None
    assert list(tokenized.errors) == [1]
    assert "secret" not in tokenized.errors[1]
    assert (tokenized.lengths[1], tokenized.windows[1]) == (0, 0)
    found = engine.infer(tokenized)
    np.testing.assert_allclose(found.embeddings[[0, 2]], predict(engine, ["w1 w2", "w3"]).embeddings, **CLOSE)
    assert_nothing(found, 1)
    assert not found.failed


def test_nothing_but_bad_texts_is_a_batch_too(engine: TransformersEngine) -> None:
    """No pass is made."""
    found = engine.infer(engine.tokenize(["\ud800", "\udfff"]))
    assert (found.scores[0].shape, found.embeddings.shape) == ((2, 3), (2, 16))
    assert_nothing(found, 0)


def test_a_text_that_fails_leaves_the_others_unharmed(
    engine: TransformersEngine, spoil: Callable[[Spoil], list[int]]
) -> None:
    """The failing text is found and named by its place; no error text is passed on."""
    texts = [*texts_of(9, 20), "w7 w7 w7"]
    expected = predict(engine, texts)

    def fail(ids: torch.Tensor) -> None:
        flat = ids.flatten()
        if any(flat[i : i + 3].tolist() == [SEVEN] * 3 for i in range(len(flat))):
            raise RuntimeError("w7 w7 w7")

    spoil(fail)
    with structlog.testing.capture_logs() as logs:
        found = predict(engine, texts)
    assert found.failed == {9: "forward pass: RuntimeError"}
    assert_same(found, expected, range(9))
    assert_nothing(found, 9)
    assert {entry["event"] for entry in logs} == {"forward_failed"}, "no lack of memory, and no text in the log"
    assert "w7" not in str(logs)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator")],
    ids=["card", "python", "cpu"],
)
def test_too_little_memory_makes_smaller_batches(
    engine: TransformersEngine, spoil: Callable[[Spoil], list[int]], error: Exception
) -> None:
    """What does not fit is halved and tried again; the next batches are small from the start."""
    texts = texts_of(30, 12)
    expected = predict(engine, texts)
    passes = spoil(memory_of(70, error))
    found = predict(engine, texts)
    assert not found.failed
    assert_same(found, expected, range(30))
    assert max(passes) > 70
    assert sum(tokens > 70 for tokens in passes) == 1, "one batch's failure is a lesson for those behind it"
    passes.clear()
    assert_same(predict(engine, texts), expected, range(30))
    assert max(passes) <= 70, "remembered"
    assert len(passes) < 30, "and yet not one text at a time"


def test_a_text_that_alone_needs_too_much_memory_fails_alone(
    engine: TransformersEngine, spoil: Callable[[Spoil], list[int]]
) -> None:
    """It is its own failure, and says nothing of the memory that others need."""
    texts = [*texts_of(20, 5), " ".join(WORDS)]
    expected = predict(engine, texts)
    passes = spoil(memory_of(40))
    found = predict(engine, texts)
    assert found.failed == {20: "forward pass: OutOfMemoryError"}
    assert_same(found, expected, range(20))
    assert_nothing(found, 20)
    for _ in range(5):
        passes.clear()
        assert predict(engine, texts).failed.keys() == {20}
    assert len(passes) < 12, "the others still share their passes"
    assert predict(engine, texts[20:]).failed.keys() == {0}, "nor does a batch need any text that succeeds"


@pytest.mark.parametrize("late", [False, True], ids=["in the pass", "in the copy"])
def test_a_failed_device_stops_the_worker(
    engine: TransformersEngine,
    spoil: Callable[[Spoil], list[int]],
    monkeypatch: pytest.MonkeyPatch,
    late: bool,
) -> None:
    """No text is to blame for it, so none may become a dead letter. A card may tell only when results are fetched."""

    def fail(*_: Any, **__: Any) -> None:
        raise torch.AcceleratorError("device-side assert")

    if late:
        monkeypatch.setattr(torch.Tensor, "cpu", fail)
    else:
        spoil(fail)
    with pytest.raises(Stop, match="device failed"):
        predict(engine, ["w1", "w2"])


@pytest.mark.parametrize(("kind", "prefix"), [("bert", "bert.embeddings.word_embeddings"), ("gpt2", "transformer.wte")])
def test_numbers_that_are_none_fail_their_text(tmp_path: Path, kind: str, prefix: str) -> None:
    """An overflow of one text is not passed on as a score, nor does it reach its neighbours."""
    folder = write_classifier(tmp_path / kind, config_of(kind, num_labels=3))
    texts = ["w1", "w2 w7", "w3", "w4 w5"]
    expected = predict(load(folder), texts)

    def poison(weights: dict[str, torch.Tensor]) -> None:
        weights[f"{prefix}.weight"][SEVEN] = float("nan")

    change_weights(folder, poison)
    engine = load_poisoned(folder)
    found = predict(engine, texts)
    assert found.failed == {1: "forward pass: not a finite number"}
    assert_nothing(found, 1)
    assert_same(found, expected, [0, 2, 3])


def load_poisoned(folder: Path) -> TransformersEngine:
    """The trial at load must not draw the poisoned token."""
    with pytest.MonkeyPatch.context() as patch:
        rows = [np.arange(30, 30 + n, dtype=np.int32) for n in (9, 9, 3)]
        patch.setattr("worker.model.assembly.trial_rows", lambda *_, **__: rows)
        return load(folder)


def test_one_models_failure_is_its_texts_failure(tmp_path: Path, spoil: Callable[[Spoil], list[int]]) -> None:
    """Of two models, one could not compute the text: there is no half of a result."""
    encoder = write_encoder(tmp_path / "encoder", config_of("bert"))
    spam = write_tuned(tmp_path / "spam", write_encoder(tmp_path / "other", config_of("roberta")))
    engine = load(spam, encoder=encoder)

    def fail(ids: torch.Tensor) -> None:
        if SEVEN in ids:
            raise ValueError("w7")

    spoil(fail)
    found = predict(engine, ["w1", "w7"])
    assert found.failed == {1: "forward pass: ValueError"}
    assert_nothing(found, 1)
    assert found.embeddings[0].any()
