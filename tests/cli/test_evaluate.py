"""`tagstream evaluate` as it is called: a tiny model, a few dozen texts."""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.model.tiny import WORDS, change_json, config_of, write_encoder, write_linear, write_sentence_files
from worker.cli import main as cli
from worker.text.preparation import Preparation, recorded

LABELS = ("ham", "spam")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head with random weights on a random encoder: right by chance only."""
    root = tmp_path_factory.mktemp("models")
    encoder = write_encoder(root / "encoder", config_of("bert"))
    write_sentence_files(encoder, pooling={"pooling_mode_mean_tokens": True})
    return write_linear(root / "model", encoder, labels=LABELS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("data") / "texts.jsonl", LABELS)


def written(file: Path, labels: tuple[str, ...]) -> Path:
    """Texts of each label from words of their own, in three splits."""
    draw = random.Random(3)

    def text(i: int) -> str:  # of letters at the end, as texts that differ in digits only count as equal
        return " ".join([*draw.choices(WORDS[i * 10 : i * 10 + 10], k=8), "".join(draw.choices("abcdefgh", k=9))])

    rows = [
        {"text": text(i), "label": label, "split": split}
        for split, count in (("train", 30), ("valid", 12), ("test", 16))
        for i, label in enumerate(labels)
        for _ in range(count)
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return file


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tagstream", "evaluate", *map(str, arguments)])
        return cli.main(), *capsys.readouterr()

    return run


def test_the_first_line_is_the_verdict(call: Any, data: Path, model: Path, tmp_path: Path) -> None:
    """A random model does not pay; the page says so too, and no text is in it or on the terminal."""
    page = tmp_path / "page.html"
    code, out, err = call(data, "--model", model, "--html", page, "--target", "precision=0.9:spam")
    assert code == 0, err
    assert out.startswith("BERT does not pay here: worse than TF-IDF of ")
    assert "train 60, valid 24, test 32, judged 32" in " ".join(out.split())
    assert "precision=0.9:spam" in out
    assert "BERT does not pay here" in page.read_text(encoding="utf-8")
    texts = [json.loads(line)["text"] for line in data.read_text(encoding="utf-8").splitlines()]
    assert not [text for text in texts if text in out + err + page.read_text(encoding="utf-8")]


def test_errors_are_shown_if_asked(call: Any, data: Path, model: Path) -> None:
    """As many as asked for; with --json the call is refused, as texts would end up in files."""
    code, out, _ = call(data, "--model", model, "--no-baseline", "--errors", "2")
    assert code == 0
    shown = out[out.index("errors, surest first") :].splitlines()[4:]
    assert [line.split()[3] in WORDS for line in shown if line] == [True, True]
    code, out, err = call(data, "--model", model, "--json", "--errors", "2")
    assert (code, out) == (2, "")
    assert "--errors" in err


def test_json_is_one_object(call: Any, data: Path, model: Path) -> None:
    """For programs; the same seed gives the same object."""
    one, two = (call(data, "--model", model, "--json", "--no-baseline", "--seed", "3")[1] for _ in range(2))
    assert one == two
    assert json.loads(one)["seed"] == 3
    assert json.loads(one)["against"] is None


def test_texts_from_elsewhere_are_judged_whole(call: Any, data: Path, model: Path) -> None:
    """All of them are the test part: nothing is left to fit anything on."""
    found = json.loads(call(data, "--model", model, "--json", "--split", "all")[1])
    assert found["facts"]["texts"]["judged"] == 116
    assert (found["temperature_from"], found["baselines"]) == ("nowhere", [])


def test_of_many_rows_a_sample_is_judged(call: Any, data: Path, model: Path) -> None:
    """No more are held than asked for; the same seed draws the same ones, each in the part that it was in."""
    asked = (data, "--model", model, "--json", "--no-baseline", "--max-examples", "60", "--seed", "1")
    found = json.loads(call(*asked)[1])
    parts = found["facts"]["texts"]
    assert parts["train"] + parts["valid"] + parts["test"] == 60
    assert 0 < parts["judged"] == parts["test"] < 32
    assert found["facts"]["dropped"] == {"not_sampled": 56}
    assert json.loads(call(*asked)[1]) == found


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "precision:spam"], "precision=0.99:spam"),
        (["--target", "precision=0.9:eggs"], "it has: ham, spam"),
        (["--target", "precision=0.9:spam", "--split", "all"], "--split test"),
        (["--html", "nowhere/page.html"], "no such directory"),
        (["--text", "body"], "body"),
    ],
    ids=["goal", "label of a goal", "nothing to choose on", "page", "column"],
)
def test_a_wrong_call_is_one_line(call: Any, data: Path, model: Path, arguments: list[str], words: str) -> None:
    """Said before the model is loaded."""
    code, out, err = call(data, "--model", model, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err


def test_a_label_that_the_model_lacks_is_one_line(call: Any, model: Path, tmp_path: Path) -> None:
    """With the labels that it has."""
    code, out, err = call(written(tmp_path / "more.jsonl", (*LABELS, "eggs")), "--model", model)
    assert (code, out) == (2, "")
    assert "'eggs', which the model lacks; it has: ham, spam" in err


def test_a_trained_temperature_is_in_the_scores_already(call: Any, data: Path, model: Path, tmp_path: Path) -> None:
    """Figures after temperature are of the scores as the model gives them."""
    plain = json.loads(call(data, "--model", model, "--json", "--no-baseline", "--split", "valid")[1])
    shutil.copytree(model, tmp_path / "model")
    change_json(tmp_path / "model" / "tagstream.json", temperature=1.5, thresholds={"spam": 0.75})
    found = json.loads(call(data, "--model", tmp_path / "model", "--json", "--no-baseline", "--split", "valid")[1])
    assert (found["temperature"], found["temperature_from"]) == (1.5, "model")
    assert [(own["label"], own["at"]) for own in found["own_thresholds"]] == [("spam", 0.75)]
    assert found["after"]["nll"] == pytest.approx(plain["before"]["nll"], abs=1e-6)
    assert found["before"]["nll"] != pytest.approx(plain["before"]["nll"], abs=1e-3)


def test_texts_are_prepared_as_in_training(call: Any, data: Path, model: Path, tmp_path: Path) -> None:
    """By what the model says of itself: `evaluate` reads no settings."""
    shutil.copytree(model, tmp_path / "model")
    preparation = Preparation(strip_punctuation=True)
    change_json(tmp_path / "model" / "tagstream.json", preparation=recorded(preparation))
    marked = tmp_path / "marked.jsonl"
    marked.write_text(data.read_text(encoding="utf-8").replace(" w", ", w"), encoding="utf-8")
    found = [
        json.loads(call(texts, "--model", where, "--json", "--no-baseline")[1])["before"]["nll"]
        for texts, where in ((data, model), (marked, tmp_path / "model"), (marked, model))
    ]
    assert found[0] == pytest.approx(found[1])
    assert found[0] != pytest.approx(found[2])


def test_a_model_whose_texts_were_prepared_otherwise_is_one_line(
    call: Any, data: Path, model: Path, tmp_path: Path
) -> None:
    """By another version, say: its figures would not be those of the training."""
    shutil.copytree(model, tmp_path / "model")
    known = recorded(Preparation(lowercase=True)) | {"fingerprint": "0"}
    change_json(tmp_path / "model" / "tagstream.json", preparation=known)
    code, out, err = call(data, "--model", tmp_path / "model")
    assert (code, out) == (2, "")
    assert "another version" in err
