"""Models that are equal, or equal up to some layer, are computed once; the numbers are those of each by itself."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
import torch
from tokenizers import normalizers
from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer

from tests.model import stock
from tests.model.stock import CLOSE, load, predict
from tests.model.tiny import (
    change_json,
    change_weights,
    config_of,
    manifest_of,
    texts_of,
    tokenizer_of,
    write_classifier,
    write_encoder,
    write_json,
    write_linear,
    write_sentence_files,
    write_tuned,
)
from worker.model.engine import TransformersEngine
from worker.model.folder import read_folder

TEXTS = texts_of(24, 60)
ROWS = stock.ids_of(TEXTS)
THREE = {"num_hidden_layers": 3}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often layers and embeddings of BERT are computed."""
    counts: Counter[str] = Counter()
    for kind in (BertLayer, BertEmbeddings):
        forward = kind.forward

        def counted(self: Any, *given: Any, _forward: Any = forward, **options: Any) -> Any:
            counts[type(self).__name__] += 1
            return _forward(self, *given, **options)

        monkeypatch.setattr(kind, "forward", counted)
    return counts


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("shared") / "base", config_of("bert", **THREE))


def computed(engine: TransformersEngine, counts: Counter[str]) -> tuple[int, int]:
    """Embeddings and layers that one text takes."""
    counts.clear()
    predict(engine, TEXTS[:1])
    return counts["BertEmbeddings"], counts["BertLayer"]


def assert_equal(engine: TransformersEngine, classifiers: Sequence[Path], encoder: Path) -> None:
    """All numbers are those of the stock models run separately."""
    found = predict(engine, TEXTS)
    assert len(found.scores) == len(classifiers)
    for scores, folder in zip(found.scores, classifiers, strict=True):
        np.testing.assert_allclose(scores, stock.scores(folder, ROWS), **CLOSE)
    np.testing.assert_allclose(found.embeddings, stock.embeddings(encoder, ROWS), **CLOSE)


def shares(engine: TransformersEngine) -> list[tuple[tuple[str, ...], int, int]]:
    return [(part.names, part.layers, part.computed) for part in engine.parts]


def test_one_directory_is_one_network(tmp_path: Path, calls: Counter[str]) -> None:
    """By default clusters stand on the classifier's base, which costs nothing more."""
    folder = write_classifier(tmp_path / "spam", config_of("bert", num_labels=3, **THREE))
    for engine in (load(folder), load(folder, encoder=folder)):
        assert shares(engine) == [(("encoder", "spam"), 3, 3)]
        assert computed(engine, calls) == (1, 3)
        assert_equal(engine, [folder], folder)


@pytest.mark.parametrize(("tuned", "own"), [("layer.2.", 1), ("layer.1.", 2), ("layer.0.", 3)])
def test_the_common_lower_layers_are_computed_once(
    tmp_path: Path, encoder: Path, calls: Counter[str], tuned: str, own: int
) -> None:
    """A classifier tuned from some layer upwards runs those layers for itself; from the first, all of them."""
    spam = write_tuned(tmp_path / "spam", encoder, tuned=(tuned,))
    engine = load(spam, encoder=encoder)
    assert shares(engine) == [(("encoder",), 3, 3), (("spam",), 3, own)]
    assert computed(engine, calls) == (1 if own < 3 else 2, 3 + own)
    assert_equal(engine, [spam], encoder)


def test_a_stock_head_on_an_equal_base_runs_no_layer(tmp_path: Path, encoder: Path, calls: Counter[str]) -> None:
    """In another directory, but with all layers equal: only the head is its own."""
    spam = write_tuned(tmp_path / "spam", encoder)
    engine = load(spam, encoder=encoder)
    assert shares(engine) == [(("encoder",), 3, 3), (("spam",), 3, 0)]
    assert computed(engine, calls) == (1, 3)
    assert_equal(engine, [spam], encoder)


def test_three_models_share_each_as_far_as_it_can(tmp_path: Path, encoder: Path, calls: Counter[str]) -> None:
    """One leaves after two layers, one after the first; a fourth follows the third further than the encoder."""
    spam = write_tuned(tmp_path / "spam", encoder, tuned=("layer.2.",), seed=3)
    topic = write_tuned(tmp_path / "topic", encoder, tuned=("layer.1.",), labels=4, seed=5)
    mood = write_tuned(tmp_path / "mood", topic, tuned=("layer.2.",), labels=2, seed=6)
    engine = load(spam, topic, mood, encoder=encoder)
    assert [part.computed for part in engine.parts] == [3, 1, 2, 1]
    assert computed(engine, calls) == (1, 7)
    assert all(part.packed for part in engine.parts)
    assert_equal(engine, [spam, topic, mood], encoder)


def test_different_models_take_a_pass_each(tmp_path: Path, encoder: Path, calls: Counter[str]) -> None:
    """Clusters keep to their own encoder, whatever the classifier is."""
    spam = write_classifier(tmp_path / "spam", config_of("bert", num_labels=3))
    engine = load(spam, encoder=encoder)
    assert shares(engine) == [(("encoder",), 3, 3), (("spam",), 2, 2)]
    assert computed(engine, calls) == (2, 5)
    assert_equal(engine, [spam], encoder)


def test_different_families_stand_side_by_side(tmp_path: Path, encoder: Path) -> None:
    """One packed, one padded, each with positions of its own."""
    gpt, roberta = (write_classifier(tmp_path / k, config_of(k, num_labels=3)) for k in ("gpt2", "roberta"))
    engine = load(gpt, roberta, encoder=encoder)
    assert [part.packed for part in engine.parts] == [True, False, True]
    assert_equal(engine, [gpt, roberta], encoder)


@pytest.mark.parametrize("kind", ["distilbert", "electra", "electra-narrow", "roberta", "xlm-roberta", "camembert"])
def test_every_family_that_packs_can_share(tmp_path: Path, kind: str) -> None:
    """Wherever its layers stand, and with what lies between its embeddings and them."""
    base = write_encoder(tmp_path / "base", config_of(kind))
    tuned = write_tuned(tmp_path / "tuned", base, tuned=("layer.1.",))
    equal = write_tuned(tmp_path / "equal", base, seed=7)
    engine = load(tuned, equal, encoder=base)
    assert [(part.computed, part.packed) for part in engine.parts] == [(2, True), (1, True), (0, True)]
    assert_equal(engine, [tuned, equal], base)


def test_families_that_are_padded_take_a_pass_each(tmp_path: Path) -> None:
    """Where layers cannot be found, nothing is shared but a directory."""
    base = write_encoder(tmp_path / "base", config_of("mpnet"))
    tuned = write_tuned(tmp_path / "tuned", base, tuned=("layer.1.",))
    engine = load(tuned, encoder=base)
    assert [part.computed for part in engine.parts] == [2, 2]
    assert_equal(engine, [tuned], base)


def _other_tokenizer(folder: Path) -> None:
    tokenizer = tokenizer_of(None)
    tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    tokenizer.save_pretrained(folder)


def _prompt(folder: Path) -> None:
    prompts = {"prompts": {"query": "w0 "}, "default_prompt_name": "query"}
    write_sentence_files(folder, pooling={}, prompts=prompts, max_seq_length=62)


def _shorter(folder: Path) -> None:
    change_json(folder / "tokenizer_config.json", model_max_length=20)


def _config(folder: Path) -> None:
    change_json(folder / "config.json", hidden_act="relu")


def _first_weight(folder: Path) -> None:
    def nudge(weights: dict[str, torch.Tensor]) -> None:
        weights["bert.embeddings.word_embeddings.weight"][7, 3] += 1e-4

    change_weights(folder, nudge)


@pytest.mark.parametrize("change", [_other_tokenizer, _prompt, _shorter, _config, _first_weight])
def test_what_reads_or_computes_otherwise_is_not_shared(
    tmp_path: Path, encoder: Path, calls: Counter[str], change: Any
) -> None:
    """Another tokenizer, prompt, length or activation, or a single weight of the embeddings."""
    spam = write_tuned(tmp_path / "spam", encoder, tuned=("layer.2.",))
    assert computed(load(spam, encoder=encoder), calls) == (1, 4)
    change(spam)
    engine = load(spam, encoder=encoder)
    assert shares(engine) == [(("encoder",), 3, 3), (("spam",), 3, 3)]
    assert computed(engine, calls) == (2, 6)
    prompt, longest = ("w0 " if change is _prompt else ""), (20 if change is _shorter else 62)
    rows = stock.ids_of([prompt + text for text in TEXTS], max_length=longest)
    found = predict(engine, TEXTS)
    np.testing.assert_allclose(found.scores[0], stock.scores(spam, rows), **CLOSE)
    np.testing.assert_allclose(found.embeddings, stock.embeddings(encoder, ROWS), **CLOSE)


def test_several_heads_stand_on_one_encoder(tmp_path: Path, encoder: Path, calls: Counter[str]) -> None:
    """Copies of its directory with a trained head beside it: one pass, one head's product more for each."""
    write_sentence_files(shutil.copytree(encoder, tmp_path / "base"), pooling={}, max_seq_length=62)
    spam = write_linear(tmp_path / "spam", tmp_path / "base", labels=("ham", "spam"), seed=4)
    topic = write_linear(tmp_path / "topic", tmp_path / "base", labels=("a", "b", "c"), seed=5)
    engine = load(spam, topic)
    assert [part.computed for part in engine.parts] == [3, 0]
    assert computed(engine, calls) == (1, 3)
    assert [(c.name, c.labels, c.kind) for c in engine.classifiers] == [
        ("spam", ("ham", "spam"), "single"),
        ("topic", ("a", "b", "c"), "single"),
    ]
    found, embeddings = predict(engine, TEXTS), stock.embeddings(encoder, ROWS)
    np.testing.assert_allclose(found.embeddings, embeddings, **CLOSE)
    for scores, folder in zip(found.scores, (spam, topic), strict=True):
        np.testing.assert_allclose(scores, stock.linear(folder, embeddings), **CLOSE)


def test_what_a_training_leaves_behind_is_no_difference(tmp_path: Path, encoder: Path, calls: Counter[str]) -> None:
    """A tokenizer saved as it padded and cut, and another dropout: neither changes a number."""
    spam = write_tuned(tmp_path / "spam", encoder, tuned=("layer.2.",))
    tokenizer = tokenizer_of(None)
    tokenizer.backend_tokenizer.enable_truncation(40)
    tokenizer.backend_tokenizer.enable_padding(length=40)
    tokenizer.save_pretrained(spam)
    assert '"strategy"' in (spam / "tokenizer.json").read_text(encoding="utf-8")
    dropout = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.2}
    change_json(spam / "config.json", **dropout, initializer_range=0.1, output_attentions=False)
    engine = load(spam, encoder=encoder)
    assert shares(engine) == [(("encoder",), 3, 3), (("spam",), 3, 1)]
    assert computed(engine, calls) == (1, 4)
    assert_equal(engine, [spam], encoder)


def test_dropout_of_distilbert_is_no_difference_either(tmp_path: Path) -> None:
    """Its config has other names for it."""
    base = write_encoder(tmp_path / "base", config_of("distilbert"))
    spam = write_tuned(tmp_path / "spam", base)
    change_json(spam / "config.json", dropout=0.3, attention_dropout=0.2, seq_classif_dropout=0.5, qa_dropout=0.3)
    assert [part.computed for part in load(spam, encoder=base).parts] == [2, 0]


def trained(folder: Path, base: Path, **origin: Any) -> Path:
    """As `tagstream train` leaves a classifier that it tuned from `base`."""
    known = {"name": base.name, "path": str(base), "revision": read_folder(str(base)).revision, **origin}
    labels = [f"LABEL_{i}" for i in range(3)]
    write_json(folder / "tagstream.json", manifest_of(labels, head="stock", encoder=known))
    return folder


def test_clusters_keep_to_the_base_that_was_trained_from(tmp_path: Path, encoder: Path, calls: Counter[str]) -> None:
    """By default: trained anew from it, a classifier leaves the clusters as they are."""
    spam = trained(write_tuned(tmp_path / "spam", encoder, tuned=("layer.2.",), seed=3), encoder)
    again = trained(write_tuned(tmp_path / "again", encoder, tuned=("layer.1.",), seed=8), encoder)
    engine = load(spam)
    assert shares(engine) == [(("encoder",), 3, 3), (("spam",), 3, 1)]
    assert computed(engine, calls) == (1, 4)
    assert_equal(engine, [spam], encoder)
    assert engine.encoder == load(again).encoder == load(encoder).encoder


def test_where_no_embedding_is_kept_no_base_is_computed(tmp_path: Path, encoder: Path, calls: Counter[str]) -> None:
    """Without clusters: the classifier's own layers, and nothing else."""
    spam = trained(write_tuned(tmp_path / "spam", encoder, tuned=("layer.1.",)), encoder)
    engine = load(spam, lasting=False)
    assert shares(engine) == [(("encoder", "spam"), 3, 3)]
    assert computed(engine, calls) == (1, 3)


def test_a_base_that_is_not_the_one_of_the_training_is_not_taken(tmp_path: Path, encoder: Path) -> None:
    """Gone, or another by now: the classifier's own base, and the log says so."""
    spam = write_tuned(tmp_path / "spam", encoder, tuned=("layer.2.",))
    for origin, event in (
        ({"path": str(tmp_path / "gone")}, "base_not_found"),
        ({"revision": "0"}, "base_has_changed"),
    ):
        trained(spam, encoder, **origin)
        with structlog.testing.capture_logs() as logs:
            engine = load(spam)
        assert shares(engine) == [(("encoder", "spam"), 3, 3)]
        assert event in [entry["event"] for entry in logs]


def test_a_head_on_a_copy_of_its_base_needs_no_other(tmp_path: Path, encoder: Path) -> None:
    """The layers that it stands on are those of the base: nothing is loaded twice."""
    head = write_linear(tmp_path / "head", encoder, labels=("a", "b"))
    known = {"name": "base", "path": str(encoder), "revision": read_folder(str(encoder)).revision}
    write_json(head / "tagstream.json", manifest_of(["a", "b"], encoder=known))
    assert shares(load(head)) == [(("encoder", "head"), 3, 3)]


def test_the_encoders_fingerprint_is_that_of_its_numbers(tmp_path: Path, encoder: Path) -> None:
    """A classifier that changes its head only leaves it as it is, and with it the clusters; so does a copy."""
    one, two = (
        write_tuned(tmp_path / name, encoder, seed=seed, labels=seed + 1) for name, seed in (("a", 1), ("b", 2))
    )
    other = write_tuned(tmp_path / "other", encoder, tuned=("layer.2.",))
    copy = shutil.copytree(encoder, tmp_path / "copy")
    change_json(two / "config.json", hidden_dropout_prob=0.4)
    prints = {load(one).encoder, load(two).encoder, load(copy).encoder, load(other, encoder=copy).encoder}
    assert prints == {load(encoder).encoder}
    assert load(other).encoder not in prints


def _pooled_otherwise(folder: Path) -> None:
    write_sentence_files(folder, pooling={"pooling_mode_cls_token": True}, max_seq_length=62)


@pytest.mark.parametrize("change", [_other_tokenizer, _prompt, _shorter, _config, _first_weight, _pooled_otherwise])
def test_whatever_changes_an_embedding_changes_the_fingerprint(tmp_path: Path, encoder: Path, change: Any) -> None:
    """Clusters of one must not be taken for clusters of the other."""
    spam = write_tuned(tmp_path / "spam", encoder)
    before = load(spam).encoder
    change(spam)
    assert load(spam).encoder != before
