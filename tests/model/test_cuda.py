"""On a card: variable-length attention against the stock model, memory that really ends, copies that do not wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog
import torch

from tests.model import stock
from tests.model.stock import load, predict
from tests.model.tiny import PACKED, config_of, texts_of, write_classifier, write_tuned
from worker.model.inputs import to_device
from worker.model.loading import AMPERE

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA card here")
TEXTS = texts_of(200, 60)
ROOM_BYTES = 128 * 2**20  # of which cuBLAS takes up to a half; one pass of all texts would need three times as much


def has_variable_length() -> bool:
    return torch.cuda.get_device_capability()[0] >= AMPERE


def assert_near(found: stock.Numbers, expected: stock.Numbers) -> None:
    """As near as eight bits of a number go: the direction is the same."""
    cosines = (stock.unit(found) * stock.unit(expected)).sum(axis=1)
    assert cosines.min() > 0.98
    assert cosines.mean() > 0.998


@pytest.fixture
def little_memory() -> Iterator[None]:
    """A card with room for a tiny model, and for a pass that is not too large."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + ROOM_BYTES) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.mark.parametrize("kind", PACKED)
def test_packed_texts_have_the_stock_models_numbers(tmp_path: Path, kind: str) -> None:
    """In half precision, where the card can; padded and with the reason where it cannot."""
    folder = write_classifier(tmp_path / kind, config_of(kind, num_labels=3))
    engine, rows = load(folder, device="cuda", max_batch_tokens=4096), stock.ids_of(TEXTS)
    assert engine.place == ("cuda", "bfloat16" if has_variable_length() else "float16")
    (part,) = engine.parts
    assert part.packed == has_variable_length(), part.why_padded
    found = predict(engine, TEXTS)
    assert not found.failed
    assert_near(found.embeddings, stock.embeddings(folder, rows))
    expected = stock.scores(folder, rows)
    assert (found.scores[0].argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.95


def test_single_precision_is_padded(tmp_path: Path) -> None:
    """Variable-length attention has no float32: the numbers are right, and the reason is given."""
    folder = write_classifier(tmp_path / "bert", config_of("bert", num_labels=3))
    engine, rows = load(folder, device="cuda:0", dtype="float32", max_batch_tokens=4096), stock.ids_of(TEXTS)
    assert engine.place == ("cuda:0", "float32")
    assert engine.parts[0].why_padded == "variable-length attention needs float16 or bfloat16"
    found = predict(engine, TEXTS)
    np.testing.assert_allclose(found.embeddings, stock.embeddings(folder, rows), rtol=0.0, atol=1e-4)
    np.testing.assert_allclose(found.scores[0], stock.scores(folder, rows), rtol=0.0, atol=1e-4)


def test_models_share_layers_on_a_card(tmp_path: Path) -> None:
    """As on a CPU."""
    encoder = write_classifier(tmp_path / "encoder", config_of("bert", num_labels=3))
    spam = write_tuned(tmp_path / "spam", encoder, tuned=("layer.1.",))
    engine = load(spam, encoder=encoder, device="cuda", max_batch_tokens=4096)
    assert [part.computed for part in engine.parts] == [2, 1]
    assert_near(predict(engine, TEXTS).embeddings, stock.embeddings(encoder, stock.ids_of(TEXTS)))


def test_the_budget_is_searched(tmp_path: Path) -> None:
    """Without one that is set, trial passes find what fits."""
    folder = write_classifier(tmp_path / "bert", config_of("bert", num_labels=3))
    with structlog.testing.capture_logs() as logs:
        engine = load(folder, device="cuda", max_batch_tokens=0)
    (chosen,) = (entry["max_batch_tokens"] for entry in logs if entry["event"] == "batch_budget")
    assert chosen > 4096
    assert not predict(engine, TEXTS).failed


@pytest.mark.usefixtures("little_memory")
def test_memory_that_ends_makes_smaller_batches(tmp_path: Path) -> None:
    """The card's own allocator refuses; all texts are computed nevertheless, and the next ones at once."""
    folder = write_classifier(tmp_path / "bert", config_of("bert", num_labels=3))
    engine, texts = load(folder, device="cuda", max_batch_tokens=2**21), TEXTS * 200
    with structlog.testing.capture_logs() as first:
        found = predict(engine, texts)
    assert not found.failed
    assert "out_of_memory" in {entry["event"] for entry in first}
    np.testing.assert_allclose(found.embeddings[: len(TEXTS)], found.embeddings[-len(TEXTS) :], atol=0.05)
    with structlog.testing.capture_logs() as second:
        assert not predict(engine, texts).failed
    assert sum(entry["event"] == "out_of_memory" for entry in second) <= 1


def test_copies_to_the_card_are_whole() -> None:
    """They go through pinned memory and are not waited for: what happens to the array afterwards does not matter."""
    device = torch.device("cuda")
    array = np.arange(1_000_000)
    copies = [to_device(array, device) for _ in range(8)]
    array[:] = -1
    assert all(copy.device.type == "cuda" and torch.equal(copy.cpu(), torch.arange(1_000_000)) for copy in copies)
