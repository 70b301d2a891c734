"""Scores and embeddings equal the stock model's, one text at a time: all families, lengths, batches and orders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model import stock
from tests.model.stock import CLOSE, POOLING_FILES, load, predict, predict_ids
from tests.model.tiny import (
    PACKED,
    PADDED,
    VOCABULARY,
    WORDS,
    change_json,
    config_of,
    texts_of,
    write_classifier,
    write_sentence_files,
)
from worker.model.engine import TransformersEngine

TEXTS = [*texts_of(30, 60), "", "w1", " ".join(WORDS), " ".join(WORDS * 2), "w3 unknown w4 unknown"]


@pytest.fixture(scope="module", params=[*PACKED, *PADDED])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("models") / request.param, config_of(request.param, num_labels=3))


@pytest.fixture(scope="module", params=["bert", "roberta", "gpt2"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TransformersEngine:
    folder = write_classifier(tmp_path_factory.mktemp("models") / request.param, config_of(request.param, num_labels=3))
    return load(folder)


def test_scores_and_embeddings_are_the_stock_models(family: Path) -> None:
    """Up to the longest text and beyond, with each way of pooling; and the engine says whether it has packed."""
    rows = stock.ids_of(TEXTS)
    logits, hidden = stock.logits(family, rows), stock.hidden_states(family, rows)
    expected = torch.log_softmax(logits, dim=-1).numpy()
    assert logits.std(dim=0).min() > 0.02, "the texts must differ for this to show anything"
    for pooling, config in POOLING_FILES.items():
        write_sentence_files(family, pooling=config, max_seq_length=62)
        engine = load(family)
        found = predict(engine, TEXTS)
        np.testing.assert_allclose(np.log(found.scores[0]), expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.scores[0], np.exp(expected), **CLOSE)
        np.testing.assert_allclose(found.embeddings, stock.pooled(hidden, pooling), **CLOSE)
        (part,) = engine.parts
        assert (part.names, part.model, part.packed) == (("encoder", family.name), family.name, family.name in PACKED)
        assert part.layers == part.computed == (3 if family.name == "modernbert" else 2)
        assert part.packed != ("is not among those" in part.why_padded)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "xlm-roberta", "camembert", "electra"])
def test_every_length_is_right(tmp_path: Path, kind: str) -> None:
    """Packed, from 1 to 512 tokens, whichever lengths share a pass."""
    folder = write_classifier(tmp_path / kind, config_of(kind, positions=512, num_labels=3))
    random = np.random.default_rng(0)
    rows = [random.integers(5, VOCABULARY, length).tolist() for length in random.permutation(np.arange(1, 513))]
    engine = load(folder, max_batch_tokens=4096)
    found = predict_ids(engine, rows)
    assert engine.parts[0].packed
    np.testing.assert_allclose(found.scores[0], stock.scores(folder, rows), **CLOSE)
    np.testing.assert_allclose(found.embeddings, stock.embeddings(folder, rows), **CLOSE)


@pytest.mark.parametrize("size", [1, 2, 7, 8, 32, 33])
def test_every_batch_size_is_right(engine: TransformersEngine, size: int) -> None:
    """Results do not depend on how many texts share a batch, and come in the order of the texts."""
    texts = texts_of(33, 60, seed=1)
    alone = predict(engine, texts)
    batches = [predict(engine, texts[start : start + size]) for start in range(0, 33, size)]
    np.testing.assert_allclose(np.concatenate([b.embeddings for b in batches]), alone.embeddings, **CLOSE)
    np.testing.assert_allclose(np.concatenate([b.scores[0] for b in batches]), alone.scores[0], **CLOSE)


def test_no_texts_give_empty_arrays(engine: TransformersEngine) -> None:
    """An empty batch is a batch."""
    found = predict(engine, [])
    assert (found.scores[0].shape, found.embeddings.shape, found.padding_share) == ((0, 3), (0, 16), 0.0)


LENGTHS = st.lists(st.integers(1, 20), min_size=2, max_size=8)
QUICK = settings(max_examples=40, deadline=None)


def _rows(lengths: Sequence[int], seed: int) -> list[list[int]]:
    draw = np.random.default_rng(seed)
    return [draw.integers(5, VOCABULARY, length).tolist() for length in lengths]


@QUICK
@given(lengths=LENGTHS, seed=st.integers(0, 99), data=st.data())
def test_texts_do_not_mix(engine: TransformersEngine, lengths: list[int], seed: int, data: st.DataObject) -> None:
    """One text changed, even to another length: the others keep their labels, and their numbers to 1e-5."""
    rows = _rows(lengths, seed)
    changed = data.draw(st.integers(0, len(rows) - 1))
    other = _rows([data.draw(st.integers(1, 20))], seed + 1)
    before = predict_ids(engine, rows)
    after = predict_ids(engine, [*rows[:changed], *other, *rows[changed + 1 :]])
    kept = [i for i in range(len(rows)) if i != changed]
    np.testing.assert_allclose(after.embeddings[kept], before.embeddings[kept], **CLOSE)
    np.testing.assert_allclose(after.scores[0][kept], before.scores[0][kept], **CLOSE)
    assert (after.scores[0][kept].argmax(axis=1) == before.scores[0][kept].argmax(axis=1)).all()


@QUICK
@given(lengths=LENGTHS, seed=st.integers(0, 99))
def test_a_text_of_equal_length_changes_no_bit_of_the_others(
    engine: TransformersEngine, lengths: list[int], seed: int
) -> None:
    """The same shapes are computed in the same way: what differs by nothing but one text's tokens is equal."""
    rows = _rows(lengths, seed)
    before, after = (predict_ids(engine, [first, *rows[1:]]) for first in (rows[0], _rows(lengths[:1], seed + 1)[0]))
    np.testing.assert_allclose(after.embeddings[1:], before.embeddings[1:], rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(after.scores[0][1:], before.scores[0][1:], rtol=0.0, atol=1e-6)


@QUICK
@given(order=st.permutations(range(10)))
def test_the_order_does_not_matter(engine: TransformersEngine, order: list[int]) -> None:
    """The same texts in another order give the same results in that order (field report 14)."""
    texts = texts_of(10, 30, seed=2)
    straight, shuffled = predict(engine, texts), predict(engine, [texts[i] for i in order])
    np.testing.assert_allclose(shuffled.embeddings, straight.embeddings[order], **CLOSE)
    np.testing.assert_allclose(shuffled.scores[0], straight.scores[0][order], **CLOSE)


def test_padding_is_reported(tmp_path: Path) -> None:
    """Texts of 12 and 3 tokens share a padded pass of 24: 9 are padding; a packed one has none."""
    texts = [" ".join(WORDS[:10]), "w1"]
    for kind, share in (("gpt2", 9 / 24), ("bert", 0.0)):
        found = predict(load(write_classifier(tmp_path / kind, config_of(kind))), texts)
        assert found.padding_share == pytest.approx(share)
        assert found.forward_s > 0.0


def test_a_config_that_asks_for_tuples_changes_nothing(tmp_path: Path) -> None:
    """`return_dict` false is for the user of transformers, not for us."""
    folder = write_classifier(tmp_path / "bert", config_of("bert", num_labels=3))
    expected = stock.scores(folder, stock.ids_of(TEXTS))
    change_json(folder / "config.json", return_dict=False)
    engine = load(folder)
    assert engine.parts[0].packed
    np.testing.assert_allclose(predict(engine, TEXTS).scores[0], expected, **CLOSE)


def test_decoders_without_a_padding_token_use_their_tokenizers(tmp_path: Path) -> None:
    """A GPT-2 config names none; alone it needs none, in a batch it does."""
    folder = write_classifier(tmp_path / "gpt2", config_of("gpt2", num_labels=3))
    change_json(folder / "config.json", pad_token_id=None)
    found = predict(load(folder), TEXTS)
    np.testing.assert_allclose(found.scores[0], stock.scores(folder, stock.ids_of(TEXTS)), **CLOSE)
