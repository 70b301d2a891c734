"""Micro-batches under a token budget."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.model.batching import Rows, micro_batches, padding_share

UNHURRIED = settings(deadline=None)


def computed(rows: Rows, lengths: np.ndarray, padded: bool) -> int:
    return int(len(rows) * lengths[rows].max() if padded else lengths[rows].sum())


@UNHURRIED
@given(lengths=st.lists(st.integers(1, 60)), budget=st.integers(1, 300), padded=st.booleans())
def test_every_text_runs_once_within_the_budget(lengths: list[int], budget: int, padded: bool) -> None:
    """No text is left out or repeated; a group over the budget is a single text."""
    sizes = np.array(lengths, np.int32)
    batches = micro_batches(sizes, budget, padded=padded)
    assert sorted(int(row) for rows in batches for row in rows) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) == 1 or computed(rows, sizes, padded) <= budget


@UNHURRIED
@given(lengths=st.lists(st.integers(1, 60)), budget=st.integers(1, 300), padded=st.booleans())
def test_the_longest_come_first(lengths: list[int], budget: int, padded: bool) -> None:
    """What memory cannot hold shows at once, and texts of one length lie together."""
    sizes = np.array(lengths, np.int32)
    order = [int(sizes[row]) for rows in micro_batches(sizes, budget, padded=padded) for row in rows]
    assert order == sorted(order, reverse=True)


@UNHURRIED
@given(lengths=st.lists(st.integers(1, 60), min_size=1), budget=st.integers(60, 300), padded=st.booleans())
def test_groups_are_filled(lengths: list[int], budget: int, padded: bool) -> None:
    """The next text would not have fitted."""
    sizes = np.array(lengths, np.int32)
    batches = micro_batches(sizes, budget, padded=padded)
    for rows, after in pairwise(batches):
        assert computed(np.append(rows, after[0]), sizes, padded) > budget


def test_the_share_of_padding_is_that_of_all_groups() -> None:
    """Groups of 12 + 3 and 2 + 2 tokens: 9 of 28 computed tokens are padding."""
    lengths = np.array([3, 12, 2, 2], np.int32)
    assert padding_share([np.array([1, 0]), np.array([2, 3])], lengths) == pytest.approx(9 / 28)
    assert padding_share([], lengths) == 0.0
