"""Micro-batches under a token budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worker.model.batching import micro_batches


@given(lengths=st.lists(st.integers(1, 60)), budget=st.integers(1, 300))
def test_every_text_runs_once_within_the_budget(lengths: list[int], budget: int) -> None:
    """No text is left out or repeated; a group over the budget is a single text."""
    sizes = np.array(lengths, np.int32)
    batches = micro_batches(sizes, budget)
    assert sorted(int(row) for rows in batches for row in rows) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) == 1 or len(rows) * sizes[rows].max() <= budget
        assert sizes[rows[0]] == sizes[rows].max()


@given(lengths=st.lists(st.integers(1, 60), min_size=1), budget=st.integers(60, 300))
def test_groups_are_filled(lengths: list[int], budget: int) -> None:
    """The next text would not have fitted."""
    sizes = np.array(lengths, np.int32)
    for rows in micro_batches(sizes, budget)[:-1]:
        assert (len(rows) + 1) * sizes[rows].max() > budget
