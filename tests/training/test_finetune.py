"""Fine-tuning gives a stock classifier that is right, calibrated, and shares what it has in common with its base."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from tests.model import stock
from tests.model.stock import CLOSE, load, predict
from tests.model.tiny import write_json, write_sentence_files
from tests.training.toy import LABELS, ONE_THREAD, QUICK, corpus_of, job_of, write_base
from worker.errors import SettingsError
from worker.evaluation.answers import Answers, truth_of
from worker.evaluation.calibration import fit_temperature, tempered
from worker.evaluation.thresholds import parse_target
from worker.model.folder import read_folder
from worker.model.manifest import read_manifest
from worker.training import trainer
from worker.training.corpus import Corpus, Example
from worker.training.finetune import finetune
from worker.training.finish import Trained
from worker.training.progress import Silence
from worker.training.trainer import Diverged, FineTuning


class Heard(Silence):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "base")


def tuned(base: Path, out: Path, corpus: Corpus, top: int | None = None, **options: Any) -> Trained:
    """Trained for seconds on one thread."""
    given = {"options": QUICK, "machine": ONE_THREAD, "progress": Silence(), **options}
    job = job_of(base, out, "full" if top is None else f"top:{top}")
    return finetune(corpus, job, top=top, **given)


def answers(folder: Path, examples: tuple[Example, ...]) -> Answers:
    engine = load(folder)
    (classifier,) = engine.classifiers
    scores = predict(engine, [example.text for example in examples]).scores[0].astype(np.float64)
    truth = truth_of([example.labels for example in examples], classifier.labels)
    return Answers(classifier.kind, classifier.labels, truth, scores)


def test_a_classifier_learns_its_labels(base: Path, tmp_path: Path) -> None:
    """Texts that it has never seen get the right label, and the result says how many did."""
    corpus = corpus_of(test=30)
    trained = tuned(base, tmp_path / "out", corpus)
    assert trained.evaluation is not None
    assert trained.evaluation.quality.figures["accuracy"].value > 0.9
    assert answers(tmp_path / "out", corpus.test).right.mean() > 0.9


@pytest.mark.parametrize(("kind", "problem"), [("single", "single_label"), ("multi", "multi_label")])
def test_plain_transformers_loads_the_result(base: Path, tmp_path: Path, kind: Any, problem: str) -> None:
    """With labels by name; the scores that the worker's engine gives are those of the plain model."""
    corpus = corpus_of(kind)
    tuned(base, tmp_path / "out", corpus, options=replace(QUICK, epochs=1))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert model.config.id2label == dict(enumerate(LABELS))
    assert model.config.problem_type == f"{problem}_classification"
    texts = [example.text for example in corpus.valid]
    logits = stock.logits(tmp_path / "out", stock.ids_of(texts))
    expected = torch.sigmoid(logits) if kind == "multi" else torch.softmax(logits, dim=-1)
    np.testing.assert_allclose(predict(load(tmp_path / "out"), texts).scores[0], expected.numpy(), **CLOSE)


@pytest.mark.parametrize("kind", ["gpt2", "modernbert", "mpnet"])
def test_every_family_trains_as_a_whole(tmp_path: Path, kind: str) -> None:
    """Decoders too, whose head reads the last token; the engine's scores are those of the plain model."""
    corpus = corpus_of(train=24, valid=9)
    tuned(write_base(tmp_path / "base", kind), tmp_path / "out", corpus, options=replace(QUICK, epochs=1))
    texts = [example.text for example in corpus.valid]
    expected = stock.scores(tmp_path / "out", stock.ids_of(texts))
    np.testing.assert_allclose(predict(load(tmp_path / "out"), texts).scores[0], expected, **CLOSE)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra-narrow", "xlm-roberta"])
def test_the_layers_below_stay_those_of_the_base(tmp_path: Path, kind: str) -> None:
    """With top:1 all but one layer are equal bit by bit, and beside the base the engine computes only that one."""
    base = write_base(tmp_path / "base", kind)
    tuned(base, tmp_path / "out", corpus_of(train=24, valid=9), top=1, options=replace(QUICK, epochs=1))
    before, after = (load_file(folder / "model.safetensors") for folder in (base, tmp_path / "out"))
    prefix = next(name for name in after if name.endswith("word_embeddings.weight")).partition(".")[0]
    names = [name for name in before if not name.startswith("pooler.")]
    last = max(int(part) for name in names for part in name.split(".") if part.isdigit())
    changed = [name for name in names if not torch.equal(before[name], after[f"{prefix}.{name}"])]
    assert changed
    assert all(f"layer.{last}." in name for name in changed)
    engine = load(tmp_path / "out", encoder=base)
    assert [part.computed for part in engine.parts] == [last + 1, 1]


def test_with_full_all_layers_learn(base: Path, tmp_path: Path) -> None:
    """Nothing is shared with the base then, from the embeddings upwards."""
    tuned(base, tmp_path / "out", corpus_of(train=24, valid=9), options=replace(QUICK, epochs=1))
    assert [part.computed for part in load(tmp_path / "out", encoder=base).parts] == [3, 3]


def test_equal_seeds_give_equal_weights(base: Path, tmp_path: Path) -> None:
    """On a CPU, to the last bit; another seed gives others."""
    corpus, short = corpus_of(train=24, valid=9), replace(QUICK, epochs=1)
    for name, seed in (("one", 1), ("two", 1), ("other", 2)):
        job = job_of(base, tmp_path / name, seed=seed)
        finetune(corpus, job, top=None, progress=Silence(), options=short, machine=ONE_THREAD)
    one, two, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two", "other"))
    assert one == two != other


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_scores_are_calibrated_already(base: Path, tmp_path: Path, kind: Any) -> None:
    """The temperature is in the weights: it is the one that the scores without it ask for."""
    corpus = corpus_of(kind, valid=60)
    trained = tuned(base, tmp_path / "out", corpus, top=1, options=replace(QUICK, epochs=2))
    temperature = float(str(trained.manifest["temperature"]))
    assert temperature != pytest.approx(1.0, abs=0.01)
    raw = tempered(answers(tmp_path / "out", corpus.valid), 1 / temperature)
    assert fit_temperature(raw) == pytest.approx(temperature, rel=0.01)


def test_without_a_validation_part_all_epochs_are_run(base: Path, tmp_path: Path) -> None:
    """And nothing is known about calibration."""
    trained = tuned(base, tmp_path / "out", corpus_of(valid=0), options=replace(QUICK, epochs=2))
    assert trained.chosen["epoch"] == 2
    assert "temperature" not in trained.manifest


def test_the_best_state_counts(base: Path, tmp_path: Path) -> None:
    """Training ends when the validation part has not been judged better for a while, and goes back to its best."""
    heard, corpus = Heard(), corpus_of()
    rough = FineTuning(learning_rate=0.1, epochs=12, batch_size=8, patience=2, warmup=0.0)
    trained = tuned(base, tmp_path / "out", corpus, options=rough, progress=heard)
    looks = [float(line.partition("macro-F1 ")[2].partition(",")[0]) for line in heard.lines if "validation" in line]
    best = looks.index(max(looks)) + 1
    assert len(looks) == best + 2 < 12
    assert trained.chosen["epoch"] == best
    right = [float(line.partition("accuracy ")[2]) for line in heard.lines if "validation" in line][best - 1]
    assert answers(tmp_path / "out", corpus.valid).right.mean() == pytest.approx(right, abs=1e-3)


def test_a_target_becomes_a_threshold(base: Path, tmp_path: Path) -> None:
    """Chosen on the validation part, on calibrated scores, and written into the model."""
    job = job_of(base, tmp_path / "out", targets=(parse_target("recall=0.5:b"),))
    finetune(corpus_of(), job, top=None, progress=Silence(), options=QUICK, machine=ONE_THREAD)
    manifest = read_manifest(tmp_path / "out")
    assert manifest is not None
    assert 0 < manifest.thresholds["b"] < 1


def test_training_goes_on_with_the_head_of_the_same_labels(base: Path, tmp_path: Path) -> None:
    """A classifier as a base keeps what it knows, and its order of labels; without learning it stays as it is."""
    corpus = corpus_of()
    tuned(base, tmp_path / "first", corpus)
    turned = replace(corpus, labels=("c", "a", "b"), valid=())
    tuned(tmp_path / "first", tmp_path / "second", turned, options=replace(QUICK, epochs=1, learning_rate=0.0))
    assert read_folder(str(tmp_path / "second")).labels == LABELS
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("kind", "head"), [("bert", ["classifier.bias", "classifier.weight"]), ("gpt2", ["score.weight"])]
)
def test_other_labels_of_the_same_number_get_a_new_head(tmp_path: Path, kind: str, head: list[str]) -> None:
    """Weights of a label `a` say nothing of a label `x`."""
    corpus, still = corpus_of(train=24, valid=0), replace(QUICK, epochs=1, learning_rate=0.0)
    tuned(write_base(tmp_path / "base", kind), tmp_path / "first", corpus, options=still)
    renamed = tuple(Example(e.text, ("xyz"["abc".index(e.labels[0])],)) for e in corpus.train)
    other = replace(corpus, labels=("x", "y", "z"), train=renamed[::-1])
    job = job_of(tmp_path / "first", tmp_path / "second", seed=1)
    finetune(other, job, top=None, progress=Silence(), options=still, machine=ONE_THREAD)
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    assert [name for name in first if not torch.equal(first[name], second[name])] == head


def test_each_epoch_has_an_order_of_its_own(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same texts in the same batches again would teach less."""
    seen = []

    class Noted(trainer.Batches):
        def __iter__(self) -> Iterator[list[int]]:
            seen.append(self.epoch)
            return super().__iter__()

    monkeypatch.setattr(trainer, "Batches", Noted)
    tuned(base, tmp_path / "out", corpus_of(train=24, valid=9), options=replace(QUICK, epochs=3, patience=9))
    assert seen == [0, 1, 2]


def test_what_is_read_stays_as_in_the_base(tmp_path: Path) -> None:
    """Longest text, prompt and pooling, though sentence-transformers kept the model in a folder of its own."""
    base = tmp_path / "base"
    write_base(base / "0_Transformer")
    pooling = {"pooling_mode_cls_token": True}
    write_sentence_files(base, pooling=pooling, prompts={"prompts": {"q": "w1 "}, "default_prompt_name": "q"})
    (base / "sentence_bert_config.json").rename(base / "0_Transformer" / "sentence_bert_config.json")
    modules = json.loads((base / "modules.json").read_text())
    write_json(base / "modules.json", [modules[0] | {"path": "0_Transformer"}, *modules[1:]])
    tuned(base, tmp_path / "out", corpus_of(train=24, valid=9), top=1, options=replace(QUICK, epochs=1))
    found = read_folder(str(tmp_path / "out"))
    assert (found.max_length, found.prompt, found.pooling) == (20, "w1 ", "cls")
    assert [part.computed for part in load(tmp_path / "out", encoder=base).parts] == [3, 1]
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").config.num_labels == 3


def test_time_ends_a_training(base: Path, tmp_path: Path) -> None:
    """With what there is by then, judged and written."""
    heard = Heard()
    trained = tuned(base, tmp_path / "out", corpus_of(), until_s=time.monotonic(), progress=heard)
    assert 0 < float(trained.chosen["epoch"]) < 0.2
    assert len([line for line in heard.lines if "validation" in line]) == 1


def test_a_training_that_diverges_is_refused(base: Path, tmp_path: Path) -> None:
    """Nothing is written, and one line says what to change."""
    wild = replace(QUICK, learning_rate=1e36, epochs=1)
    with pytest.raises(Diverged, match="choose a lower learning rate"):
        tuned(base, tmp_path / "out", corpus_of(train=48, valid=9), options=wild)
    assert not (tmp_path / "out").exists()


def test_nothing_else_is_printed_or_left(base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No bars, reports or warnings of the libraries; no checkpoints and no pickles once the model is written."""
    tuned(base, tmp_path / "out", corpus_of(train=24, valid=9), options=replace(QUICK, epochs=1))
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json", ".md", ".safetensors"}


@pytest.mark.parametrize(
    ("kind", "top", "words"), [("bert", 4, "3 layers; choose from 1 to 3"), ("mpnet", 1, "trains as a whole: full")]
)
def test_layers_that_are_not_there_are_refused(tmp_path: Path, kind: str, top: int, words: str) -> None:
    """One line, before anything is trained or written."""
    base = write_base(tmp_path / "base", kind)
    with pytest.raises(SettingsError, match=words):
        tuned(base, tmp_path / "out", corpus_of(), top=top)
    assert not (tmp_path / "out").exists()


def test_a_result_never_replaces_something_else(base: Path, tmp_path: Path) -> None:
    """A directory that training has not made stays as it is."""
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(SettingsError, match="choose another --out"):
        tuned(base, tmp_path, corpus_of())
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
