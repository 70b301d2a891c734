"""Character n-grams: what a text's spelling adds to a head's logits, the same in training and at run time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer

from tests.model.stock import CLOSE
from tests.model.tiny import config_of, manifest_of, write_encoder, write_json, write_linear, write_sentence_files
from worker.cutting import cut_to_tokens
from worker.errors import SettingsError
from worker.model.assembly import load_engine
from worker.model.characters import BUCKETS, MOST_CHARACTERS, CharacterLogits, character_matrix
from worker.model.process import EngineProcess
from worker.model.recipe import ClassifierRecipe, EngineRecipe, Windows, ZeroShotRecipe
from worker.types import Batch, Message, Origin, Prepared, Record

LABELS = ("ham", "spam", "other")
WEIGHTS = np.random.default_rng(0).normal(size=(3, BUCKETS)).astype(np.float32)
TEXTS = ["w1 w2 w3", "W1 W2 W3", "", "w4 " * 30, "fr33 m0ney!!!"]
ANY = st.text(st.characters(), max_size=40)  # lone surrogates, nulls and all


@given(st.lists(ANY, max_size=6))
def test_run_time_equals_training(texts):
    """A head gets the numbers at run time that it was trained on, whatever is in a text."""
    logits = CharacterLogits(WEIGHTS)(texts)
    assert logits.shape == (len(texts), 3)
    np.testing.assert_allclose(logits, character_matrix(texts) @ WEIGHTS.T, rtol=0, atol=1e-5)


@given(ANY, ANY)
def test_texts_do_not_mix(one, other):
    """What a text's characters give does not depend on its neighbours in the batch."""
    read = CharacterLogits(WEIGHTS)
    np.testing.assert_array_equal(read([one, other, one])[[0, 2]], read([one])[[0, 0]])


def test_batches_of_any_size_are_cut():
    """Thousands of texts, and blank ones between them, give what each gives alone."""
    texts = ["spam eggs " * (i % 40) for i in range(400)]
    alone = np.concatenate([CharacterLogits(WEIGHTS)([text]) for text in texts])
    np.testing.assert_allclose(CharacterLogits(WEIGHTS)(texts), alone, **CLOSE)
    assert not alone[::40].any()


def test_features_are_those_of_sklearn():
    """They are `char_wb` n-grams with damped counts and length one: texts are as alike as sklearn finds them.

    A blank alone is none here.
    """
    texts = ["Cheap pills, cheap Pills!", "cheap thrills in town", "naïve café pills", "tomorrow we may be gone"]
    options = {"analyzer": "char_wb", "ngram_range": (1, 5), "sublinear_tf": True, "use_idf": False}
    grams = [gram for gram in TfidfVectorizer(**options).fit(texts).vocabulary_ if gram != " "]
    theirs, ours = TfidfVectorizer(**options, vocabulary=grams).fit_transform(texts), character_matrix(texts)
    np.testing.assert_allclose((ours @ ours.T).toarray(), (theirs @ theirs.T).toarray(), atol=0.03)


def test_hashes_never_change():
    """A head that was trained years ago reads the same n-grams: these numbers must stay."""
    matrix = character_matrix(["Win €5 now", "发票 发票"])
    assert matrix.nnz == 40
    assert matrix.indices[:4].tolist() == [1438, 1710, 2457, 3101]
    assert int(matrix.indices.astype(np.int64).sum()) == 1_298_682


def test_hashes_are_the_same_in_every_process():
    """Python's own hashes differ from run to run; these do not."""
    code = "from worker.model.characters import *; print(character_matrix(['win now']).indices.tolist())"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] == f"{character_matrix(['win now']).indices.tolist()}\n"


def test_the_end_of_an_endless_text_is_not_read():
    """A text of megabytes costs what its first 20,000 characters cost."""
    start = "win a prize " * 2000
    read = CharacterLogits(WEIGHTS)
    np.testing.assert_array_equal(read([start]), read([start[:MOST_CHARACTERS] + "x" * 100_000]))


@given(ANY)
def test_parts_by_place_add_up(text):
    """Each character of a text has its part of the logits, and a blank has none."""
    parts = CharacterLogits(WEIGHTS).by_place(text)
    assert parts.shape == (len(text), 3)
    np.testing.assert_allclose(parts.sum(axis=0), CharacterLogits(WEIGHTS)([text])[0], rtol=0, atol=1e-5)
    assert not parts[[character in " \t\n" for character in text]].any()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A head on the embedding alone, and the same one with characters."""
    root = tmp_path_factory.mktemp("models")
    encoder = write_encoder(root / "encoder", config_of("bert"))
    write_sentence_files(encoder, pooling={"pooling_mode_mean_tokens": True})
    plain = write_linear(root / "plain", encoder, labels=LABELS)
    return plain, with_characters(write_linear(root / "model", encoder, labels=LABELS))


def with_characters(folder: Path, weights: np.ndarray = WEIGHTS) -> Path:
    head = load_file(folder / "head.safetensors")
    save_file({**head, "ngrams": torch.from_numpy(weights)}, folder / "head.safetensors")
    write_json(folder / "tagstream.json", manifest_of(LABELS, features="embedding+characters"))
    return folder


def recipe_of(*paths: Path, **more: object) -> EngineRecipe:
    return EngineRecipe(tuple(ClassifierRecipe(path.name, str(path)) for path in paths), device="cpu", **more)


def logits_of(scores: np.ndarray) -> np.ndarray:
    """Up to a constant of each row."""
    return np.log(scores) - np.log(scores).mean(axis=1, keepdims=True)


@pytest.mark.parametrize("overlap", [None, 4], ids=["cut off", "in windows"])
def test_characters_are_added_to_the_logits(folders, overlap):
    """A head with characters gives the embedding's logits plus the characters' of the whole text, in the same pass."""
    engine = load_engine(recipe_of(*folders, windows=Windows(overlap)))
    predictions = engine.infer(engine.tokenize(TEXTS))
    plain, both = predictions.scores
    added = character_matrix(TEXTS) @ WEIGHTS.T
    np.testing.assert_allclose(
        logits_of(both), logits_of(plain) + added - added.mean(axis=1, keepdims=True), rtol=0, atol=1e-4
    )
    assert [part.computed for part in engine.parts] == [2, 0]


def test_the_models_process_gets_them_too(folders):
    """The worker reads the characters, its model's process the tokens; the scores are those of one process."""
    recipe = recipe_of(*folders, zero_shot=(ZeroShotRecipe("topic", {"a": ("w1",), "b": ("w2",)}),))
    here, there = load_engine(recipe), EngineProcess(recipe)
    try:
        expected, got = here.infer(here.tokenize(TEXTS)), there.infer(there.tokenize(TEXTS))
        nothing = there.infer(there.tokenize([]))
    finally:
        there.close()
    assert len(got.scores) == 3
    for ours, theirs in zip(got.scores, expected.scores, strict=True):
        np.testing.assert_allclose(ours, theirs, **CLOSE)
    assert [len(scores) for scores in nothing.scores] == [0, 0, 0]


def test_parts_of_a_batch_keep_theirs(folders):
    """A batch that is cut to a budget of tokens gives each text the numbers that it has in the whole batch."""
    engine = load_engine(recipe_of(folders[1]))
    messages = tuple(Message(str(n), Origin("in", 0, n, None), text) for n, text in enumerate(TEXTS))
    batch = Batch(tuple(Record("in", 0, n, None, None, b"") for n in range(len(TEXTS))), {})
    whole = Prepared(batch, messages, engine.tokenize(TEXTS))
    parts = cut_to_tokens(whole, 8)
    assert len(parts) > 2
    scores = np.concatenate([engine.infer(part.tokenized).scores[0] for part in parts])
    np.testing.assert_allclose(scores, engine.infer(whole.tokenized).scores[0], **CLOSE)


def test_int8_keeps_them(folders, tmp_path):
    """A quantised encoder changes nothing of what the characters say."""
    evaluation = tmp_path / "texts.jsonl"
    evaluation.write_text('{"text": "w1 w2", "label": "ham"}\n', encoding="utf-8")
    engine = load_engine(recipe_of(folders[1], dtype="int8", evaluation=str(evaluation)))
    np.testing.assert_allclose(
        engine.tokenize(TEXTS).added["model"], character_matrix(TEXTS) @ WEIGHTS.T, rtol=0, atol=1e-5
    )
    assert engine.infer(engine.tokenize(TEXTS)).scores[0].shape == (5, 3)


@pytest.mark.parametrize("weights", [None, WEIGHTS[:2], WEIGHTS[:, :100].copy()], ids=["none", "labels", "buckets"])
def test_a_head_that_does_not_fit_is_refused(folders, tmp_path, weights):
    """Weights for other labels or other hashes, or none where there should be some, end the start with one line."""
    encoder = folders[0]
    folder = write_linear(tmp_path / "model", encoder, labels=LABELS)
    if weights is None:
        write_json(folder / "tagstream.json", manifest_of(LABELS, features="embedding+characters"))
    else:
        with_characters(folder, weights)
    with pytest.raises(SettingsError, match="train the head again"):
        load_engine(recipe_of(folder))
