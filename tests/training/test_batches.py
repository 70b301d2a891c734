"""Batches of a fine-tuning: each text once an epoch, about equally long ones together."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from worker.training.batches import Batches, Padding, Row

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=200)


def epoch(lengths: list[int], size: int, *, seed: int = 0, number: int = 0) -> list[list[int]]:
    batches = Batches(lengths, size=size, seed=seed)
    batches.epoch = number
    found = list(batches)
    assert len(found) == len(batches)
    return found


@given(lengths=LENGTHS, size=st.integers(1, 33), number=st.integers(0, 5))
def test_each_text_is_in_one_batch(lengths: list[int], size: int, number: int) -> None:
    """None is left out, none comes twice, no batch is too large; and the epoch is the same when made again."""
    found = epoch(lengths, size, number=number)
    assert sorted(place for batch in found for place in batch) == list(range(len(lengths)))
    assert max(map(len, found)) <= size
    assert epoch(lengths, size, number=number) == found


def test_epochs_and_seeds_differ() -> None:
    """Neither the texts of a batch nor their order repeat."""
    lengths = np.random.default_rng(0).integers(1, 300, 2000).tolist()
    first = epoch(lengths, 16)
    for other in (epoch(lengths, 16, number=1), epoch(lengths, 16, seed=1)):
        assert not {frozenset(batch) for batch in first} & {frozenset(batch) for batch in other}


def test_little_is_padded() -> None:
    """Texts of one batch are about equally long: less than a tenth is padding, where chance would pad half."""
    lengths = np.random.default_rng(0).integers(1, 300, 2000).tolist()
    computed = sum(len(batch) * max(lengths[place] for place in batch) for batch in epoch(lengths, 16))
    assert sum(lengths) / computed > 0.9


def test_rows_are_padded_on_the_right() -> None:
    """To the longest, with the model's own padding token, which the mask leaves out."""
    rows = [
        Row(input_ids=np.array(ids, np.int32), labels=np.asarray(label, np.int64), text="")
        for ids, label in (([2, 7, 3], 1), ([2, 3], 0))
    ]
    batch = Padding(1)(rows)
    assert batch["input_ids"].tolist() == [[2, 7, 3], [2, 3, 1]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert torch.equal(batch["labels"], torch.tensor([1, 0]))
