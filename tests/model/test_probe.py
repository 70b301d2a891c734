"""Whether texts may be packed is found out at load: what gives other numbers is padded, and says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
import torch

from tests.model import stock
from tests.model.stock import CLOSE, load, predict
from tests.model.tiny import config_of, texts_of, write_classifier, write_encoder, write_tuned
from worker.errors import SettingsError
from worker.model import assembly, attention, lane, network, probe
from worker.model import folder as folder_module
from worker.model.engine import TransformersEngine
from worker.model.lane import Lane
from worker.types import EnginePart

LAYERS = {**network.LAYERS, "modernbert": "layers", "mpnet": "encoder.layer", "deberta-v2": "encoder.layer"}


@pytest.fixture
def all_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if somebody had put types on the list that do not belong there."""
    for module in (network, probe):
        monkeypatch.setattr(module, "LAYERS", LAYERS)


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch) -> list[Lane]:
    """The lanes of the engines that a test loads."""
    made: list[Lane] = []

    class Kept(Lane):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            made.append(self)

    monkeypatch.setattr(assembly, "Lane", Kept)
    return made


def padded_part(engine: TransformersEngine, folder: Path) -> EnginePart:
    """The only part of an engine that must not pack, and whose numbers are right."""
    texts = texts_of(20, 60)
    found, rows = predict(engine, texts), stock.ids_of(texts)
    np.testing.assert_allclose(found.scores[0], stock.scores(folder, rows), **CLOSE)
    np.testing.assert_allclose(found.embeddings, stock.embeddings(folder, rows), **CLOSE)
    (part,) = engine.parts
    assert not part.packed
    return part


@pytest.mark.usefixtures("all_allowed")
@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        pytest.param("modernbert", {}, "wants a window or a causal mask", id="sliding window"),
        pytest.param("bert", {"is_decoder": True}, "wants a window or a causal mask", id="causal"),
        pytest.param("mpnet", {}, "called by 0 of 2 layers", id="relative positions"),
        pytest.param("deberta", {}, "called by 0 of 2 layers", id="own attention"),
    ],
)
def test_a_model_that_cannot_be_packed_is_padded(
    tmp_path: Path, lanes: list[Lane], kind: str, options: dict[str, Any], reason: str
) -> None:
    """Though its type is on the list. Its own attention is set back, or padding would be seen as text."""
    folder = write_classifier(tmp_path / kind, config_of(kind, num_labels=3, **options))
    with structlog.testing.capture_logs() as logs:
        engine = load(folder)
    part = padded_part(engine, folder)
    assert reason in part.why_padded or "packed attention fails here" in part.why_padded
    assert [entry["reason"] for entry in logs if entry["event"] == "not_packed"] == [part.why_padded]
    assert lanes[-1].steps[0].network.model.config._attn_implementation != attention.PACKED


def test_a_type_that_is_not_on_the_list_is_padded(tmp_path: Path) -> None:
    """It is not even tried."""
    folder = write_classifier(tmp_path / "mpnet", config_of("mpnet", num_labels=3))
    part = padded_part(load(folder), folder)
    assert part.why_padded == "model type mpnet is not among those that can be packed"


def _first_position(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each text's positions begin one too early."""
    right = lane.PackedInput
    monkeypatch.setattr(
        lane, "PackedInput", lambda rows, *, first_position, device: right(rows, first_position=0, device=device)
    )
    monkeypatch.setattr(probe, "PackedInput", object)


def _texts_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token sees those of all texts."""
    right = attention.packed_attention

    def mixed(module: Any, query: Any, key: Any, value: Any, mask: Any, *, layout: Any, **options: Any) -> Any:
        layout.calls += 1
        whole = attention.Layout((attention.Group(0, 1, query.shape[2]),))
        return right(module, query, key, value, mask, layout=whole, **options)

    monkeypatch.setattr(attention, "packed_attention", mixed)


def _equal_lengths_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text sees the others of its length: one group is taken for one text."""
    right = attention.packed_attention

    def mixed(module: Any, query: Any, key: Any, value: Any, mask: Any, *, layout: Any, **options: Any) -> Any:
        layout.calls += 1
        joined = [attention.Group(group.start, 1, group.texts * group.length) for group in layout.groups]
        return right(module, query, key, value, mask, layout=attention.Layout(joined), **options)

    monkeypatch.setattr(attention, "packed_attention", mixed)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_texts_that_see_each_other_are_seen_in_every_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, dtype: str
) -> None:
    """By the embedding's direction, and by logits alone; rounding is no excuse, and honest numbers pass."""
    encoder = write_encoder(tmp_path / "encoder", config_of(kind))
    folder = write_classifier(tmp_path / kind, config_of(kind, num_labels=3))
    assert [part.packed for part in load(folder, encoder=encoder, dtype=dtype).parts] == [True, True]
    _equal_lengths_mixed(monkeypatch)
    parts = load(folder, encoder=encoder, dtype=dtype).parts
    assert [part.names for part in parts] == [("encoder",), (kind,)]
    assert all("packed numbers differ from the stock model's by" in part.why_padded for part in parts)


@pytest.mark.parametrize("damage", [_first_position, _texts_mixed], ids=["positions", "texts mixed"])
def test_wrong_numbers_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """A mistake of our own, or a transformers that has changed: the numbers differ from the stock model's."""
    folder = write_classifier(tmp_path / "roberta", config_of("roberta", num_labels=3))
    damage(monkeypatch)
    part = padded_part(load(folder), folder)
    assert "packed numbers differ from the stock model's by" in part.why_padded


@pytest.mark.parametrize("error", [RuntimeError, TypeError, AttributeError, IndexError, ImportError])
def test_whatever_fails_when_packed_is_padded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """An old card, an old torch: the reason names the kind of error."""

    def failing(*_: Any, **__: Any) -> None:
        raise error("no")

    folder = write_classifier(tmp_path / "bert", config_of("bert", num_labels=3))
    monkeypatch.setattr(attention, "packed_attention", failing)
    part = padded_part(load(folder), folder)
    assert part.why_padded == f"packed attention fails here ({error.__name__})"


def test_models_that_share_layers_are_padded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One layout goes through all of them; the reason is each one's."""
    encoder = write_classifier(tmp_path / "first", config_of("bert", num_labels=2))
    tuned = write_tuned(tmp_path / "tuned", encoder, tuned=("layer.1.",))
    _texts_mixed(monkeypatch)
    engine, texts = load(encoder, tuned), texts_of(12, 60)
    assert [(part.packed, part.computed) for part in engine.parts] == [(False, 2), (False, 1)]
    found, rows = predict(engine, texts), stock.ids_of(texts)
    for scores, folder in zip(found.scores, (encoder, tuned), strict=True):
        np.testing.assert_allclose(scores, stock.scores(folder, rows), **CLOSE)


def test_a_model_that_padding_changes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing would give its numbers but one text at a time."""
    folder = write_classifier(tmp_path / "mpnet", config_of("mpnet", num_labels=3))
    right = lane.PaddedInput.arguments
    monkeypatch.setattr(lane.PaddedInput, "arguments", lambda self: {"input_ids": right(self)["input_ids"]})
    with pytest.raises(SettingsError, match="differs from itself by"):
        load(folder)


def test_a_model_that_fails_on_long_texts_is_refused_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A family whose position offset we do not know would fail each long text; better not to start."""
    monkeypatch.setattr(folder_module, "OFFSET_POSITIONS", frozenset())
    path = write_classifier(tmp_path / "unknown", config_of("roberta"))
    with pytest.raises(SettingsError, match="trial text"):
        load(path)


def test_the_trial_covers_short_and_long_texts_and_two_of_one_length() -> None:
    """A wrong window hides on short texts, a wrong group shape where each text has a length of its own."""
    rows = probe.trial_rows(65, 512, 0)
    lengths = [len(row) for row in rows]
    assert (lengths[:2], lengths[-1]) == ([512, 512], 1)
    assert sum(length > 128 for length in lengths) >= 4
    assert all(0 not in row for row in rows)
    assert {length for length in lengths if lengths.count(length) == 2} == {3, 8, 33, 512}
    assert lengths == sorted(lengths, reverse=True)


def test_a_difference_that_is_no_number_counts_as_one() -> None:
    """NaN compares with nothing, and must not pass for equal."""
    nan = {"a": torch.tensor([[1.0]]), "b": torch.tensor([[float("nan")]])}
    expected = {"a": torch.tensor([[1.0]]), "b": torch.tensor([[1.0]])}
    assert probe.difference(nan, expected).shift == float("inf")
    assert probe.difference({"": nan["b"]}, {"": expected["b"]}).turn == float("inf")


def test_a_small_logit_is_compared_with_small_ones() -> None:
    """A classifier that is never sure has small logits, and its own scale."""
    got, expected = torch.tensor([[0.01, 0.02]]), torch.tensor([[0.01, 0.01]])
    assert probe.difference({"a": got}, {"a": expected}).shift == pytest.approx(1.0)
    assert probe.difference({"a": expected * 0}, {"a": expected * 0}).shift == 0.0


LONG = {"positions": 1500, "num_hidden_layers": 1}


def test_a_long_position_table_is_compared_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong behind the usual trial texts is seen: here the positions from 1,400 on."""
    folder = write_classifier(tmp_path / "bert", config_of("bert", **LONG))
    assert load(folder).parts[0].packed
    right = lane.PackedInput.arguments

    def wrong(self: Any) -> Any:
        arguments = right(self)
        return arguments | {"position_ids": arguments["position_ids"].clamp(max=1400)}

    monkeypatch.setattr(lane.PackedInput, "arguments", wrong)
    assert "packed numbers differ" in load(folder).parts[0].why_padded


def test_what_a_pass_costs_bounds_the_longest_trial_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for minutes at start; the log says how far packing was compared."""
    folder = write_classifier(tmp_path / "bert", config_of("bert", **LONG))
    monkeypatch.setitem(probe.AFFORDABLE_FLOPS, "cpu", 1e6)
    with structlog.testing.capture_logs() as logs:
        assert load(folder).parts[0].packed
    (entry,) = (entry for entry in logs if entry["event"] == "packing_compared_in_part")
    assert (entry["up_to_tokens"], entry["longest"]) == (1024, 1500)
