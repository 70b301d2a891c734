"""`tagstream train` as it is called, and what it wrote as the other commands take it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training.corpora import corpus_of, tiny_encoder
from worker.cli import main as cli
from worker.cli.ways import parse_tune
from worker.errors import SettingsError
from worker.training.corpus import SPLITS


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("models") / "encoder")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "texts.jsonl"
    corpus = corpus_of(["ham", "spam"])
    examples = [(split, example) for split in SPLITS for example in corpus.of(split)]
    rows = [
        {"text": f"{example.text} {_letters(i)}", "label": example.labels[0], "split": split}
        for i, (split, example) in enumerate(examples)
    ]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return file


def _letters(number: int) -> str:
    """Texts that differ in digits only count as one."""
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:04}")


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tagstream", *map(str, arguments)])
        return cli.main(), *capsys.readouterr()

    return run


@pytest.mark.parametrize("features", ["embedding", "embedding+characters"])
def test_from_texts_to_tags(call: Any, encoder: Path, data: Path, tmp_path: Path, features: str) -> None:
    """Three commands; no text of the data is shown by the first two."""
    model = tmp_path / "model"
    made = call("train", data, "--base", encoder, "--out", model, "--features", features, "--target", "recall=0.5:spam")
    assert made[0] == 0, made[2]
    assert "recall=0.5:spam: score ≥ " in made[1]
    assert "embedding texts: 136 of 136" in made[2]
    code, judged, err = call("evaluate", data, "--model", model, "--no-baseline", "--json")
    assert code == 0, err
    assert f"accuracy {json.loads(judged)['quality']['figures']['accuracy']['value']:.3f} " in made[1]
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    assert not [row["text"] for row in rows if row["text"] in "".join(made[1:])]
    (tmp_path / "in.txt").write_text("\n".join(row["text"] for row in rows[-24:]), encoding="utf-8")
    code, tagged, err = call("tag", tmp_path / "in.txt", "--set", f"model.path={model}")
    assert code == 0, err
    found = [json.loads(line)["classifications"][0]["labels"] for line in tagged.splitlines()]
    assert sum(given == [row["label"]] for given, row in zip(found, rows[-24:], strict=True)) >= 20


def test_json_is_one_object(call: Any, encoder: Path, data: Path, tmp_path: Path) -> None:
    """With the manifest, what was chosen, and the whole evaluation; texts are prepared as the settings say."""
    code, out, err = call(
        *("train", data, "--base", encoder, "--out", tmp_path / "model", "--json", "--set", "text.lowercase=true")
    )
    assert code == 0, err
    found = json.loads(out)
    assert found["manifest"]["preparation"]["options"] == {"normalize": "NFC", "lowercase": True}
    assert found["manifest"]["data"]["counts"] == {"train": 80, "valid": 32, "test": 24}
    assert found["evaluation"]["facts"]["texts"]["judged"] == 24


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tune", "bottom:2"], "head, top:N (such as top:2) or full"),
        (["--tune", "full", "--features", "embedding+characters"], "is for --tune head"),
        (["--target", "precision:spam"], "precision=0.99:spam"),
        (["--target", "precision=0.9:eggs"], "it has: ham, spam"),
        (["--label", "lable"], "did you mean label?"),
        (["--base", "nowhere/at/all"], "no such directory"),
        (["--set", "text.lowercase=perhaps"], "text.lowercase"),
    ],
    ids=["tune", "features", "goal", "label of a goal", "column", "base", "settings"],
)
def test_a_wrong_call_is_one_line(
    call: Any, encoder: Path, data: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    """Said before anything is trained, and nothing is written."""
    code, out, err = call("train", data, "--base", encoder, "--out", tmp_path / "model", *arguments)
    assert (code, out) == (2, "")
    assert words in err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_taken_is_refused(call: Any, encoder: Path, data: Path) -> None:
    """Before the data is read."""
    code, out, err = call("train", data, "--base", encoder, "--out", data)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "choose another --out" in err


@pytest.mark.parametrize(("written", "top"), [("head", None), ("full", "full"), ("top:12", 12)])
def test_what_is_tuned(written: str, top: object) -> None:
    """A head, so many layers, or all of them."""
    assert parse_tune(written) == top
    for wrong in (f"{written}x", "top:0", "top:-1", "top"):
        with pytest.raises(SettingsError, match="write head"):
            parse_tune(wrong)
