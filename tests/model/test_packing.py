"""Texts as one row of tokens: where each begins, where its positions begin, which lie in equal lengths."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.roberta.modeling_roberta import RobertaEmbeddings

from worker.model.packing import pack

UNHURRIED = settings(deadline=None)
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=12).map(sorted)


@UNHURRIED
@given(lengths=LENGTHS, first=st.integers(0, 3))
def test_each_text_is_found_again(lengths: list[int], first: int) -> None:
    """Between its bounds, with positions of its own."""
    rows = [np.arange(100 * i + 5, 100 * i + 5 + n, dtype=np.int32) for i, n in enumerate(lengths)]
    packed = pack(rows, first)
    assert packed.bounds.dtype == np.int32
    for row, start, stop in zip(rows, packed.bounds, packed.bounds[1:], strict=False):
        assert packed.ids[start:stop].tolist() == row.tolist()
        assert packed.positions[start:stop].tolist() == list(range(first, first + len(row)))


@UNHURRIED
@given(lengths=LENGTHS)
def test_groups_cover_all_texts_in_equal_lengths(lengths: list[int]) -> None:
    """One after the other without a gap; two neighbouring groups differ in length."""
    groups = pack([np.full(n, 7, np.int32) for n in lengths], 0).groups
    assert [length for group in groups for length in [group.length] * group.texts] == lengths
    assert [group.start for group in groups] == [0, *(group.stop for group in groups[:-1])]
    assert len({group.length for group in groups}) == len(groups)


@UNHURRIED
@given(
    rows=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=9), min_size=1, max_size=6), pad=st.integers(0, 2)
)
def test_padding_tokens_inside_of_texts_are_placed_as_transformers_places_them(rows: list[list[int]], pad: int) -> None:
    """A text may spell out the padding token: RoBERTa's kind does not count it."""
    packed = pack([np.array(row, np.int32) for row in rows], pad + 1)
    expected = [RobertaEmbeddings.create_position_ids_from_input_ids(torch.tensor([row]), pad)[0] for row in rows]
    assert packed.positions.tolist() == torch.cat(expected).tolist()
