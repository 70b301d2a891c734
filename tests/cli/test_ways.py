"""The ways of training that `tagstream train` offers, as they are asked for; tiny models, a few dozen texts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_evaluate import written
from tests.cli.test_run import starting
from tests.kafka.broker import free_port
from tests.training.toy import write_base
from worker.cli import main as cli
from worker.cli import ways
from worker.model.folder import read_folder

LABELS = ("ham", "spam")
FAST = ("--epochs", "2", "--learning-rate", "0.01", "--batch-size", "8", "--no-baseline")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("data") / "texts.jsonl", LABELS)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tagstream", *map(str, arguments)])
        return cli.main(), *capsys.readouterr()

    return run


def test_a_fine_tuned_model_is_taken_as_it_is(call: Any, base: Path, data: Path, tmp_path: Path) -> None:
    """By `tag`, `check` and `run`, with the quality that was told; trained by the numbers in the call."""
    model = tmp_path / "model"
    code, out, err = call("train", data, "--base", base, "--out", model, "--tune", "full", "--json", *FAST)
    assert code == 0, err
    made = json.loads(out)
    chosen = made["chosen"]
    assert (chosen["learning_rate"], chosen["epochs"], chosen["batch_size"], chosen["weight_decay"]) == (
        *(0.01, 2, 8),
        0.01,
    )
    rows = [row for row in map(json.loads, data.read_text("utf-8").splitlines()) if row["split"] == "test"]
    (tmp_path / "in.txt").write_text("\n".join(row["text"] for row in rows), encoding="utf-8")
    where = ("--set", f"model.path={model}")
    code, tagged, err = call("tag", tmp_path / "in.txt", *where)
    assert code == 0, err
    given = [json.loads(line)["classifications"][0]["labels"] for line in tagged.splitlines()]
    right = [labels == [row["label"]] for labels, row in zip(given, rows, strict=True)]
    assert sum(right) / len(right) == pytest.approx(made["evaluation"]["quality"]["figures"]["accuracy"]["value"])
    nowhere = ("--set", f"kafka.bootstrap=127.0.0.1:{free_port()}", "--set", "input.topics=[in]")
    findings = json.loads(call("check", *where, *nowhere, "--set", "output.topic=out", "--json")[1])["findings"]
    assert {f["severity"] for f in findings if f["check"] == "model"} == {"ok"}
    with starting(["-m", "worker.cli.main", "run", *where], tmp_path) as worker:
        worker.wait_for("model_part")


def test_a_search_keeps_its_trials(call: Any, base: Path, data: Path, tmp_path: Path) -> None:
    """As many as asked for, beside the best model."""
    model = tmp_path / "model"
    code, out, err = call("train", data, "--base", base, "--out", model, "--tune", "top:1", "--search", "2", *FAST)
    assert code == 0, err
    assert len((model / "trials.jsonl").read_text("utf-8").splitlines()) == 2
    assert "trial 1: learning rate" in err
    assert read_folder(str(model)).labels == LABELS
    assert "trials.svg" in out


def test_recipes_are_compared(call: Any, base: Path, data: Path, tmp_path: Path) -> None:
    """The table is shown, with what the time has left out; in the JSON and in the card, too."""
    model = tmp_path / "model"
    asked = ("train", data, "--base", base, "--out", model, "--recipe", "auto", "--time-budget", "0.001")
    code, out, err = call(*asked)
    assert code == 0, err
    lines = out.splitlines()
    start = lines.index("recipes on the validation part:")
    names = ["recipe", "head *", "head+characters", "top:2", "full"]
    assert [line[:15].strip() for line in lines[start + 1 : start + 6]] == names
    assert "full: left out, the time budget is spent" in lines
    assert "| full | – |" in (model / "README.md").read_text("utf-8")
    compared = json.loads(call(*asked, "--json")[1])["compared"]
    assert [one["chosen"] for one in compared] == [True, False, False, False]


def test_a_goal_that_is_not_reached_comes_first(call: Any, base: Path, data: Path, tmp_path: Path) -> None:
    """Nobody shall take the threshold for the goal: it is said in the first line, in the card and in the JSON."""
    rows = [json.loads(line) for line in data.read_text("utf-8").splitlines()]
    wrong = [row | {"label": "spam"} if i % 4 == 0 else row for i, row in enumerate(rows)]
    noisy = tmp_path / "noisy.jsonl"
    noisy.write_text("\n".join(map(json.dumps, wrong)) + "\n", encoding="utf-8")
    model = tmp_path / "model"
    asked = ("train", noisy, "--base", base, "--out", model, "--no-baseline", "--target", "recall=1:spam")
    code, out, err = call(*asked)
    assert code == 0, err
    warning = "WARNING: recall=1:spam is not reached at any score on validation, the best is 0."
    assert out.startswith(warning)
    assert f"**{warning}" in (model / "README.md").read_text("utf-8")
    found = json.loads(call(*asked, "--json")[1])
    assert [one["reached"] for one in found["thresholds"]] == [False]
    assert found["manifest"]["thresholds"] == {"spam": found["thresholds"][0]["at"]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--search", "3"], "add --tune top:N or full"),
        (["--epochs", "3"], "--epochs is for --tune top:N or full and --recipe auto"),
        (["--time-budget", "5m"], "--time-budget is for --tune top:N"),
        (["--recipe", "auto", "--tune", "head"], "leave it or --tune out"),
        (["--recipe", "auto", "--search", "3"], "leave it or --search out"),
        (["--tune", "full", "--time-budget", "soon"], "'soon' is not a time; write seconds, or such as 90s, 15m, 2h"),
        (["--tune", "top:9"], "the model has 3 layers; choose from 1 to 3"),
    ],
)
def test_what_contradicts_itself_is_one_line(
    call: Any, base: Path, data: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    """Said before anything is trained, and nothing is written."""
    code, out, err = call("train", data, "--base", base, "--out", tmp_path / "model", *arguments)
    assert (code, out) == (2, "")
    assert words in err.splitlines()[-1]
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tune", "full"], "--tune full needs accelerate: pip install 'tagstream[train]'"),
        (["--tune", "full", "--search", "3"], "--search needs accelerate and matplotlib and optuna: pip install"),
        (["--recipe", "auto"], "--recipe auto needs accelerate: pip install"),
    ],
)
def test_a_missing_library_is_one_line(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    """Before the data is even looked at."""
    monkeypatch.setattr(ways, "find_spec", lambda name: None)
    code, out, err = call("train", tmp_path / "none.csv", "--base", "minilm", "--out", tmp_path / "model", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err


@pytest.mark.parametrize(("written", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200)])
def test_times_as_people_write_them(written: str, seconds: float) -> None:
    """Plain numbers are seconds."""
    assert ways.Duration().convert(written, None, None) == seconds
