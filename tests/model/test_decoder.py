"""Decoders without a padding token."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.model import stock
from tests.model.stock import CLOSE, load, predict_ids
from tests.model.tiny import change_json, config_of, write_classifier


@pytest.fixture
def decoder(tmp_path: Path) -> Path:
    """As GPT-2 is: neither its config nor its tokenizer names a padding token."""
    folder = write_classifier(tmp_path / "gpt2", config_of("gpt2", num_labels=3))
    change_json(folder / "config.json", pad_token_id=None)
    change_json(folder / "tokenizer_config.json", pad_token=None, eos_token="[SEP]")
    return folder


def test_batches_give_the_stock_models_numbers(decoder: Path) -> None:
    """The last token is read, whatever it is: also where it is the token that others are padded with."""
    rows = [[7, 8, 9], [5], [10, 11, 12, 13, 3], [6, 3, 3], [3], [0, 0]]
    found = predict_ids(load(decoder), rows)
    np.testing.assert_allclose(found.scores[0], stock.scores(decoder, rows), **CLOSE)
    np.testing.assert_allclose(found.embeddings, stock.embeddings(decoder, rows, "last"), **CLOSE)
