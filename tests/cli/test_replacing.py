"""`tagstream train --feedback` as it is called: what replaces the model in use, and what does not."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training.corpora import corpus_of, job_of, tiny_encoder
from worker.cli import main as cli
from worker.model.folder import read_folder
from worker.text.preparation import Preparation
from worker.training.columns import Columns
from worker.training.corpus import SPLITS
from worker.training.head import train_head
from worker.training.progress import Silence
from worker.training.reading import read_corpus
from worker.training.splitting import key_of, split_of

OTHER = {"ham": "spam", "spam": "ham"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("models") / "encoder")


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tagstream", *map(str, arguments)])
        return cli.main(), *capsys.readouterr()

    return run


def _rows(seed: int, count: int, *, wrong: bool = False) -> list[dict[str, Any]]:
    """Texts in the words of their label; digits alone would make them the same."""
    corpus = corpus_of(["ham", "spam"], seed=seed)
    examples = [example for split in SPLITS for example in corpus.of(split)]
    return [
        {"text": f"{example.text} {_letters(i)}", "label": OTHER[example.labels[0]] if wrong else example.labels[0]}
        for i, example in enumerate(examples[:count])
    ]


def _letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:04}")


def _write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def site(call: Any, encoder: Path, tmp_path: Path) -> Any:
    """The call that trains the model there, on such data."""

    def train(data: list[dict[str, Any]], *more: object) -> Any:
        file = _write(tmp_path / "data.jsonl", data)
        return call("train", file, "--base", encoder, "--out", tmp_path / "model", "--no-baseline", *more)

    return train


@pytest.fixture(scope="module")
def good(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is right about its texts."""
    place = tmp_path_factory.mktemp("good")
    job = job_of(encoder, place / "model", preparation=Preparation(normalize="NFC"))
    corpus = read_corpus([_write(place / "data.jsonl", _rows(3, 136))], columns=Columns())
    train_head(corpus, job, cache=place / "cache", progress=Silence())
    return place / "model"


@pytest.fixture
def in_use(good: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good, tmp_path / "model")


def test_corrections_mend_a_model(site: Any, call: Any, tmp_path: Path) -> None:
    """Three commands: train, correct, train. Texts that are held back, by their hash, are in neither training."""
    data, right = _rows(3, 136, wrong=True), _rows(3, 136)
    assert site(data)[0] == 0
    corrections = _write(tmp_path / "corrections.jsonl", right)
    code, said, err = site(data, "--feedback", corrections)
    assert code == 0, err
    counts = [sum(split_of(key_of(row["text"])) == split for row in right) for split in SPLITS]
    parts = ", ".join(f"{split} {count}" for split, count in zip(SPLITS, counts, strict=True))
    assert f"corrections: {parts}; 136 are of texts in the data, 136 with other labels there\n" in err
    lines = said.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'model'}: single")
    assert any(line.startswith(f"of {counts[2]} held-back corrections: ") for line in lines)
    assert lines[-1] == f"it has replaced the model in {tmp_path / 'model'}"
    code, judged, err = call("evaluate", corrections, "--model", tmp_path / "model", "--no-baseline", "--json")
    assert json.loads(judged)["quality"]["figures"]["accuracy"]["value"] > 0.7
    assert sorted(p.name for p in tmp_path.iterdir()) == ["corrections.jsonl", "data.jsonl", "model", "model.cache"]


@pytest.mark.usefixtures("in_use")
def test_a_worse_model_is_refused(site: Any, tmp_path: Path) -> None:
    """Exit code 1, one line: by how much, on which labels, and where it is kept. The model in use is as it was."""
    revision = read_folder(str(tmp_path / "model")).revision
    held = [row for row in _rows(3, 136) if split_of(key_of(row["text"])) == "test"]
    corrections = _write(tmp_path / "corrections.jsonl", held)
    poison = [row if row in held else {**row, "label": OTHER[row["label"]]} for row in _rows(3, 136)]
    code, said, err = site(poison, "--feedback", corrections, "--json")
    assert code == 1
    line = err.splitlines()[-1]
    assert line.startswith(
        f"tagstream: the new model is worse than that in {tmp_path / 'model'}, which stays: macro-F1 -"
    )
    assert "; worse on '" in line
    assert line.endswith(f"; it is kept in {tmp_path / 'model.refused'}")
    told = json.loads(said)
    assert told["refusal"] in line
    assert told["out"] == str(tmp_path / "model.refused")
    assert {change["label"] for change in told["replacement"]["labels"]} == {"ham", "spam"}
    assert read_folder(str(tmp_path / "model")).revision == revision
    assert read_folder(str(tmp_path / "model.refused")).revision == told["revision"]
    assert not [row["text"] for row in held if row["text"] in said + err]


@pytest.mark.usefixtures("in_use")
@pytest.mark.parametrize(
    ("corrections", "words"),
    [
        (None, "corrections.jsonl does not exist; `tagstream feedback collect` writes it"),
        ([{"text": "x", "label": "spamm"}], "has the label 'spamm' in 1 of its texts"),
        ([{"text": "x", "label": "SPAM"}], "has the label 'SPAM', the data has 'spam'"),
        ([{"text": "", "label": "spam"}], "no correction that can be used"),
    ],
    ids=["no file", "slip", "case", "blank"],
)
def test_what_cannot_work_is_one_line(site: Any, tmp_path: Path, corrections: Any, words: str) -> None:
    """Before anything is trained."""
    if corrections:
        _write(tmp_path / "corrections.jsonl", corrections)
    code, said, err = site(_rows(3, 136), "--feedback", tmp_path / "corrections.jsonl")
    assert (code, said) == (2, "")
    assert words in err.splitlines()[-1]


def test_without_a_model_in_use_there_is_nothing_to_replace(site: Any, tmp_path: Path) -> None:
    """Said before the data is read."""
    corrections = _write(tmp_path / "corrections.jsonl", _rows(3, 4))
    code, _, err = site(_rows(3, 136), "--feedback", corrections)
    assert (code, err.count("\n")) == (2, 1)
    assert "holds none: train one first" in err
