"""Training a linear head on a frozen encoder."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.model.stock import load, predict
from tests.model.tiny import WORDS, config_of, write_encoder, write_sentence_files
from worker.errors import SettingsError
from worker.training.head import TrainedHead, train_head


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_encoder(tmp_path_factory.mktemp("models") / "encoder", config_of("bert"))
    return write_sentence_files(folder, pooling={"pooling_mode_mean_tokens": True})


def corpus(labels: list[str], each: int = 40) -> tuple[list[str], list[str]]:
    """Texts of each label from words of their own."""
    draw = random.Random(3)
    named = [
        (" ".join(draw.choices(WORDS[i * 10 : i * 10 + 10], k=6)), label)
        for i, label in enumerate(labels)
        for _ in range(each)
    ]
    return [text for text, _ in named], [label for _, label in named]


def train(encoder: Path, out: Path, labels: list[str], **options: Any) -> TrainedHead:
    texts, names = corpus(labels)
    return train_head(encoder=str(encoder), texts=texts, labels=names, out=out, **options)


@pytest.mark.parametrize("labels", [["a", "b"], ["böse", "gut", "mittel"]], ids=["two", "three"])
def test_the_written_directory_is_a_classifier(encoder: Path, tmp_path: Path, labels: list[str]) -> None:
    """It is loaded like any model, and labels as well as the training said."""
    report = train(encoder, tmp_path / "model", labels)
    engine = load(tmp_path / "model")
    texts, names = corpus(labels)
    found = predict(engine, texts)
    got = [engine.classifiers[0].labels[best] for best in found.scores[0].argmax(axis=1)]
    assert report.accuracy > 0.7
    assert np.mean([a == b for a, b in zip(got, names, strict=True)]) > 0.7
    np.testing.assert_allclose(found.scores[0].sum(axis=1), 1.0, rtol=1e-5)
    assert (report.texts + report.held_back, report.labels) == (len(texts), tuple(sorted(labels)))


def test_the_directory_needs_nothing_else(encoder: Path, tmp_path: Path) -> None:
    """Weights, tokenizer and sentence-transformers files come along; nothing pickled, nothing half-written."""
    (encoder / "training_args.bin").write_bytes(b"pickle")
    train(encoder, tmp_path / "model", ["a", "b"])
    (encoder / "training_args.bin").unlink()
    written = {path.relative_to(tmp_path / "model").as_posix() for path in (tmp_path / "model").rglob("*.*")}
    assert {"model.safetensors", "tokenizer.json", "1_Pooling/config.json", "head.safetensors"} <= written
    assert "training_args.bin" not in written
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_seed_decides(encoder: Path, tmp_path: Path) -> None:
    """The same call gives the same bytes; `max_texts` draws that many."""
    for name in ("one", "two"):
        report = train(encoder, tmp_path / name, ["a", "b"], seed=5, max_texts=50)
    assert report.texts + report.held_back == 50
    one, two = ((tmp_path / name / "head.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two
    train(encoder, tmp_path / "three", ["a", "b"], seed=6, max_texts=50)
    assert one != (tmp_path / "three" / "head.safetensors").read_bytes()


def test_a_head_can_be_trained_anew_on_a_head(encoder: Path, tmp_path: Path) -> None:
    """An earlier head at the same place is replaced; as an encoder it counts without its head."""
    train(encoder, tmp_path / "model", ["a", "b"])
    train(tmp_path / "model", tmp_path / "model", ["c", "d"])
    assert json.loads((tmp_path / "model" / "tagstream.json").read_text(encoding="utf-8"))["labels"] == ["c", "d"]


def test_texts_that_cannot_be_tokenised_are_left_out(encoder: Path, tmp_path: Path) -> None:
    """One bad text does not end a training."""
    texts, names = corpus(["a", "b"])
    report = train_head(encoder=str(encoder), texts=[*texts, "\ud800"], labels=[*names, "a"], out=tmp_path / "model")
    assert report.texts + report.held_back == len(texts)


@pytest.mark.parametrize(
    ("texts", "labels", "reason"),
    [
        pytest.param(["w1"], ["a", "b"], "1 texts but 2 labels", id="uneven"),
        pytest.param(["w1", "w2"], ["a", "a"], "1 different labels", id="one label"),
        pytest.param([], [], "0 different labels", id="nothing"),
    ],
)
def test_data_that_teaches_nothing_is_refused(
    encoder: Path, tmp_path: Path, texts: list[str], labels: list[str], reason: str
) -> None:
    """One line says what is wrong, and nothing is written."""
    with pytest.raises(SettingsError, match=reason):
        train_head(encoder=str(encoder), texts=texts, labels=labels, out=tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_nothing_else_is_overwritten(encoder: Path, tmp_path: Path) -> None:
    """A directory that holds anything but a trained head stays as it is."""
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(SettingsError, match="choose another"):
        train(encoder, tmp_path, ["a", "b"])
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
