"""Attention over a pack: by groups on a CPU, by one variable-length call on a card, where a stand-in shows its use."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoModelForSequenceClassification

from tests.model import stock
from tests.model.stock import CLOSE, POOLS
from tests.model.tiny import PACKED, config_of, texts_of, write_classifier
from worker.model import attention
from worker.model.attention import Layout, Unpackable, packed_attention
from worker.model.inputs import PackedInput
from worker.model.lane import Lane, Reading, Step
from worker.model.network import Network
from worker.model.packing import pack

HEADS, WIDTH = 2, 4


def layout_of(lengths: Sequence[int]) -> Layout:
    return Layout(pack([np.zeros(n, np.int32) for n in lengths], 0).groups)


def with_bounds(layout: Layout) -> Layout:
    """As it is on a card."""
    lengths = [length for group in layout.groups for length in [group.length] * group.texts]
    bounds = torch.tensor([0, *np.cumsum(lengths).tolist()], dtype=torch.int32)
    return Layout(layout.groups, bounds, max(lengths))


def one_by_one(query: Any, key: Any, value: Any, bounds: Sequence[int], scale: float | None) -> torch.Tensor:
    """The definition: [1, heads, tokens, d] → [1, tokens, heads, d], each text alone."""
    parts = [
        scaled_dot_product_attention(
            query[:, :, start:stop], key[:, :, start:stop], value[:, :, start:stop], scale=scale
        )
        for start, stop in pairwise(bounds)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2)


def variable_length(query: Any, key: Any, value: Any, *rest: Any, scale: float | None) -> torch.Tensor:
    """Stands in for torch's `varlen_attn`, which only a card can compute; as strict as it is."""
    bounds, same_bounds, longest, same_longest = rest
    assert query.shape == key.shape == value.shape == (int(bounds[-1]), HEADS, query.shape[2])
    assert bounds.dtype == same_bounds.dtype == torch.int32
    assert bounds.tolist() == same_bounds.tolist()
    assert bounds[0] == 0
    assert longest == same_longest == int(bounds.diff().max())
    packed = [tensor.transpose(0, 1).unsqueeze(0) for tensor in (query, key, value)]
    return one_by_one(*packed, bounds.tolist(), scale)[0]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "varlen_attn", variable_length)


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("bounded", [False, True], ids=["groups", "variable length"])
@pytest.mark.parametrize("lengths", [[5], [3, 3, 3], [7, 4, 4, 1], [1]], ids=str)
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_each_text_sees_itself_alone(bounded: bool, lengths: list[int], scaling: float | None) -> None:
    """Also a text by itself, and one of a single token; scaled as the model says."""
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, HEADS, sum(lengths), WIDTH)
    layout = with_bounds(layout_of(lengths)) if bounded else layout_of(lengths)
    seen, weights = packed_attention(torch.nn.Identity(), query, key, value, None, layout=layout, scaling=scaling)
    expected = one_by_one(query, key, value, [0, *np.cumsum(lengths).tolist()], scaling)
    torch.testing.assert_close(seen, expected, rtol=0.0, atol=1e-6)
    assert weights is None
    assert layout.calls == 1


def test_a_text_alone_takes_the_plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a card too: variable lengths of one length are a detour."""

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(attention, "varlen_attn", never)
    states = torch.randn(1, HEADS, 5, WIDTH)
    seen, _ = packed_attention(torch.nn.Identity(), states, states, states, None, layout=with_bounds(layout_of([5])))
    torch.testing.assert_close(seen, one_by_one(states, states, states, [0, 5], None))


def test_what_a_pack_cannot_give_is_refused() -> None:
    """A window, a causal layer, a mask: never computed without."""
    states = torch.zeros(1, HEADS, 3, WIDTH)
    causal = torch.nn.Identity()
    causal.is_causal = True  # type: ignore[assignment]
    plain = torch.nn.Identity()
    for module, options in ((causal, {}), (plain, {"sliding_window": 4}), (plain, {"attention_mask": states})):
        given = {"attention_mask": None, **options}
        with pytest.raises(Unpackable, match="Identity"):
            packed_attention(module, states, states, states, layout=layout_of([3]), **given)


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("kind", PACKED)
def test_a_cards_way_through_a_model_gives_the_stock_numbers(tmp_path: Path, kind: str) -> None:
    """All but the kernel itself, on the CPU: bounds, positions, heads and pooling of one packed row."""
    folder = write_classifier(tmp_path / kind, config_of(kind, num_labels=3))
    network = Network(AutoModelForSequenceClassification.from_pretrained(folder).eval())
    config = network.model.config
    first = config.pad_token_id + 1 if "roberta" in kind or kind == "camembert" else 0
    readings = (Reading("labels", "mean", stock=True), *(Reading(pooling, pooling) for pooling in POOLS))
    lane = Lane(steps=[Step(network, readings)], tokens=0, longest=62, pad=0, first_position=first)
    attention.register()
    lane.use(packed=True)
    rows = sorted(stock.ids_of(texts_of(12, 60)), key=len)
    given = lane.input([np.array(row, np.int32) for row in rows])
    assert isinstance(given, PackedInput)
    given.layout = with_bounds(given.layout)
    columns = lane.read(given)
    np.testing.assert_allclose(torch.softmax(columns["labels"], dim=-1).numpy(), stock.scores(folder, rows), **CLOSE)
    hidden = stock.hidden_states(folder, rows)
    for pooling in POOLS:
        np.testing.assert_allclose(columns[pooling].numpy(), stock.pooled(hidden, pooling), **CLOSE)
    assert given.layout.calls == network.layers
