"""Training a linear head on a frozen encoder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.model.stock import load, predict
from tests.training.corpora import corpus_of, job_of, tiny_encoder
from worker.errors import SettingsError
from worker.evaluation.thresholds import parse_target
from worker.model.folder import read_folder
from worker.training import head
from worker.training.corpus import Corpus, Example
from worker.training.finish import Trained
from worker.training.head import train_head
from worker.training.progress import Silence


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("models") / "encoder")


def train(encoder: Path, out: Path, corpus: Corpus, *, features: Any = "embedding", **options: Any) -> Trained:
    job = job_of(encoder, out, **options)
    return train_head(corpus, job, cache=out.parent / "cache", features=features, progress=Silence())


def with_errors(corpus: Corpus) -> Corpus:
    """Every fifth text has the first label: nobody can be sure."""

    def spoil(examples: Sequence[Example]) -> tuple[Example, ...]:
        first = corpus.labels[:1]
        return tuple(Example(e.text, first) if i % 5 == 0 else e for i, e in enumerate(examples))

    return replace(corpus, train=spoil(corpus.train), valid=spoil(corpus.valid), test=spoil(corpus.test))


@pytest.mark.parametrize("features", ["embedding", "embedding+characters"])
@pytest.mark.parametrize("labels", [("a", "b"), ("böse", "gut", "mittel")], ids=["two", "three"])
def test_the_written_directory_is_a_classifier(
    encoder: Path, tmp_path: Path, labels: tuple[str, ...], features: str
) -> None:
    """It is loaded like any model, and labels the test part exactly as the training has measured."""
    corpus = corpus_of(labels)
    trained = train(encoder, tmp_path / "model", corpus, features=features)
    engine = load(tmp_path / "model")
    found = predict(engine, [example.text for example in corpus.test])
    assert engine.classifiers[0].labels == labels
    right = [(labels[best],) == e.labels for best, e in zip(found.scores[0].argmax(axis=1), corpus.test, strict=True)]
    assert trained.evaluation is not None
    assert np.mean(right) == pytest.approx(trained.evaluation.quality.figures["accuracy"].value)
    assert np.mean(right) > 0.7


@pytest.mark.parametrize("features", ["embedding", "embedding+characters"])
def test_scores_are_calibrated_without_more_ado(
    encoder: Path, tmp_path: Path, features: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temperature and scale are in the weights: at run time nobody has to know them, and the figures are of that."""
    monkeypatch.setattr(head, "CHARACTER_SCALES", (4.0,))
    corpus = with_errors(corpus_of(["a", "b", "c"]))
    trained = train(encoder, tmp_path / "model", corpus, features=features)
    found = predict(load(tmp_path / "model"), [example.text for example in corpus.test])
    places = [corpus.labels.index(example.labels[0]) for example in corpus.test]
    loss = -np.log(found.scores[0][np.arange(len(places)), places]).mean()
    assert trained.evaluation is not None
    assert trained.evaluation.temperature == trained.manifest["temperature"] != 1.0
    assert loss == pytest.approx(trained.evaluation.after.nll, abs=1e-4)


def test_the_scale_of_characters_is_in_their_weights(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they hardly count, as the fit sees them, their weights are next to nothing."""
    monkeypatch.setattr(head, "CHARACTER_SCALES", (0.001,))
    train(encoder, tmp_path / "model", corpus_of(["a", "b"]), features="embedding+characters")
    saved = load_file(tmp_path / "model" / "head.safetensors")
    assert np.abs(saved["ngrams"]).max() < 1e-4 * np.abs(saved["weight"]).max()


def test_a_list_of_labels_gives_sigmoids(encoder: Path, tmp_path: Path) -> None:
    """Each label stands for itself: a text may get several, or none."""
    corpus = corpus_of(["a", "b", "c"], kind="multi")
    train(encoder, tmp_path / "model", corpus)
    engine = load(tmp_path / "model")
    scores = predict(engine, [example.text for example in corpus.test]).scores[0]
    truth = np.array([[label in example.labels for label in corpus.labels] for example in corpus.test])
    assert engine.classifiers[0].kind == "multi"
    assert ((scores > 0.5) == truth).mean() > 0.7
    assert len(set((scores > 0.5).sum(axis=1).tolist())) > 1


def test_a_target_becomes_a_threshold(encoder: Path, tmp_path: Path) -> None:
    """Written into the model, on the scores that it gives."""
    trained = train(encoder, tmp_path / "model", corpus_of(["a", "b"]), targets=(parse_target("precision=0.9:b"),))
    manifest = read_folder(str(tmp_path / "model")).manifest
    assert manifest is not None
    assert manifest.thresholds == {"b": trained.thresholds[0].at}
    assert trained.thresholds[0].test is not None


def test_the_directory_needs_nothing_else(encoder: Path, tmp_path: Path) -> None:
    """Weights, tokenizer, sentence-transformers files and a card; nothing pickled, nothing half-written."""
    (encoder / "training_args.bin").write_bytes(b"pickle")
    corpus = corpus_of(["a", "b"])
    train(encoder, tmp_path / "model", corpus)
    (encoder / "training_args.bin").unlink()
    written = {path.relative_to(tmp_path / "model").as_posix() for path in (tmp_path / "model").rglob("*.*")}
    assert {"model.safetensors", "tokenizer.json", "1_Pooling/config.json", "head.safetensors", "README.md"} <= written
    assert "training_args.bin" not in written
    assert {path.name for path in tmp_path.iterdir()} == {"model", "cache"}
    card = (tmp_path / "model" / "README.md").read_text("utf-8")
    plots = re.findall(r"!\[[\w-]+\]\((plots/[\w-]+\.svg)\)", card)
    assert {"plots/reliability.svg", "plots/coverage.svg"} <= set(plots) <= written
    shown = "".join((tmp_path / "model" / file).read_text("utf-8") for file in ("README.md", "report.html"))
    assert not [example.text for example in corpus.test if example.text in shown]


def test_the_encoder_stays_the_same(encoder: Path, tmp_path: Path) -> None:
    """A worker that changes over to the head keeps its clusters: the encoder beneath has the same fingerprint."""
    train(encoder, tmp_path / "model", corpus_of(["a", "b"]))
    assert read_folder(str(tmp_path / "model")).without_head().revision == read_folder(str(encoder)).revision


def test_the_same_call_gives_the_same_model(encoder: Path, tmp_path: Path) -> None:
    """To the byte, card included."""
    for name in ("one", "two"):
        train(encoder, tmp_path / name / "model", corpus_of(["a", "b"]))
    one, two = tmp_path / "one" / "model", tmp_path / "two" / "model"
    for file in ("head.safetensors", "tagstream.json", "README.md"):
        assert (one / file).read_bytes() == (two / file).read_bytes()


def test_a_head_can_be_trained_anew_on_a_head(encoder: Path, tmp_path: Path) -> None:
    """An earlier head at the same place is replaced; as a base it counts without its head."""
    train(encoder, tmp_path / "model", corpus_of(["a", "b"]))
    train(tmp_path / "model", tmp_path / "model", corpus_of(["c", "d"]))
    assert read_folder(str(tmp_path / "model")).labels == ("c", "d")


def test_without_validation_nothing_is_chosen(encoder: Path, tmp_path: Path) -> None:
    """The usual strength, no temperature; and without a test part no figures."""
    trained = train(encoder, tmp_path / "model", corpus_of(["a", "b"], empty=("valid", "test")))
    assert (trained.chosen, trained.evaluation) == ({"C": 10.0}, None)
    assert "temperature" not in trained.manifest
    assert "no test part" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


def test_rare_labels_can_weigh_more(encoder: Path, tmp_path: Path) -> None:
    """With class weights the rare label is given more often."""
    corpus = corpus_of(["a", "b"], empty=("valid",))
    skewed = replace(corpus, train=tuple(e for i, e in enumerate(corpus.train) if e.labels == ("a",) or i % 13 == 0))
    heads = []
    for name, balanced in (("plain", False), ("balanced", True)):
        train(encoder, tmp_path / name, skewed, balanced=balanced)
        heads.append(load_file(tmp_path / name / "head.safetensors")["bias"])
    assert heads[1][1] > heads[0][1]


def test_texts_that_cannot_be_tokenised_are_left_out(encoder: Path, tmp_path: Path) -> None:
    """One bad text does not end a training; a label that has no other is named."""
    corpus = corpus_of(["a", "b"])
    bad = replace(corpus, train=(*corpus.train, Example("\ud800", ("a",))))
    assert train(encoder, tmp_path / "model", bad).unread == 1
    lost = replace(bad, labels=("a", "b", "c"), train=(*corpus.train, Example("\ud800", ("c",))))
    with pytest.raises(SettingsError, match="no training text of 1 labels, such as 'c'"):
        train(encoder, tmp_path / "other", lost)


def test_nothing_else_is_overwritten(encoder: Path, tmp_path: Path) -> None:
    """A directory that holds anything but a trained model stays as it is."""
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(SettingsError, match="choose another"):
        train(encoder, tmp_path, corpus_of(["a", "b"]))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
