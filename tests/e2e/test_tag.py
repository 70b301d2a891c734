"""`tagstream tag` as people run it: a process, files and pipes, a tiny model."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas import TaggedMessage
from tests.model.tiny import config_of, write_classifier

COMMAND = [sys.executable, "-m", "worker.cli.main", "tag"]
TIMEOUT_S = 120  # a bound for a hung test, not a limit to meet


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("model"), config_of("bert", num_labels=2))


@pytest.fixture
def config(tmp_path: Path, model: Path) -> Path:
    path = tmp_path / "settings.yaml"
    settings = {"model": {"path": str(model)}, "clusters": {"enabled": False}, "policy": {"routes": {"LABEL_1": "one"}}}
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def tag(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, timeout=TIMEOUT_S, check=False
    )


def results(lines: bytes) -> list[dict[str, Any]]:
    return [TaggedMessage.model_validate_json(line).model_dump() for line in lines.splitlines()]


def test_json_lines(tmp_path: Path, config: Path) -> None:
    """Results in the order of the file, with routes; dead letters by number and reason, without their text; exit 0."""
    path = tmp_path / "in put.jsonl"
    lines = [json.dumps({"id": f"n{i}", "text": f"w{i % 60} w1"}) for i in range(600)]
    lines[7] = "broken secret"
    path.write_text("\n".join(lines), encoding="utf-8")
    run = tag("--config", config, path, "-o", tmp_path / "out.jsonl", "-d", tmp_path / "dead.jsonl")
    assert (run.returncode, run.stdout) == (0, b"")
    tagged = results((tmp_path / "out.jsonl").read_bytes())
    assert [t["id"] for t in tagged] == [f"n{i}" for i in range(600) if i != 7]
    assert tagged[8]["source"] | {"timestamp": None} == {
        "topic": "in-put.jsonl",
        "partition": 0,
        "offset": 9,
        "timestamp": None,
    }
    assert {(t["label"], t["route"]) for t in tagged} <= {("LABEL_0", "tagged"), ("LABEL_1", "one")}
    dead = json.loads((tmp_path / "dead.jsonl").read_bytes())
    assert (dead["offset"], dead["reason"]) == (7, "invalid_json")
    assert b"secret" not in run.stderr
    assert b"600 records" in run.stderr
    assert b"dead letters: 1 (invalid_json 1)" in run.stderr


def test_stdin_to_stdout(config: Path) -> None:
    """Plain lines through pipes; a blank one is reported on stderr."""
    run = tag("--config", config, "-", stdin=b"w1 w2\n\nw3\n")
    assert run.returncode == 0
    assert [r["source"]["offset"] for r in results(run.stdout)] == [0, 2]
    assert b"stdin[0]@1: decode: blank_text: " in run.stderr


def test_mbox(tmp_path: Path, config: Path) -> None:
    """Each mail of a mailbox is a text."""
    path = tmp_path / "mail"
    path.write_bytes(b"From a\nSubject: w1\n\nw2\n\nFrom b\nSubject: w3\n\nw4\n")
    run = tag("--config", config, "--format", "mbox", path, "--set", "output.include_text=true")
    assert [r["text"] for r in results(run.stdout)] == ["w1\n\nw2", "w3\n\nw4"]


def test_results_come_while_the_pipe_is_open_and_ctrl_c_is_quiet(config: Path) -> None:
    """A first line does not wait for the last; an interrupt ends with the totals, one line and 130, no traceback."""
    with subprocess.Popen(
        [*COMMAND, "--config", str(config), "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"w1\n")
        process.stdin.flush()
        assert results(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(TIMEOUT_S) == 130
    assert b"1 records" in said
    assert b"Traceback" not in said


def test_a_reader_that_goes_away_is_quiet(config: Path) -> None:
    """As with `head`: no traceback, exit 0."""
    with subprocess.Popen(
        [*COMMAND, "--config", str(config), "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, said = process.communicate(b"w1\n" * 5000, timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert b"Traceback" not in said
    assert b"Exception ignored" not in said


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [(None, b"", b"cannot read"), ("in.json", b'[{"text": "a"}]', b"jq"), ("out.jsonl", b"{}", b"another file")],
    ids=["no such file", "one array", "read and written"],
)
def test_wrong_calls(tmp_path: Path, config: Path, name: str | None, content: bytes, words: bytes) -> None:
    """One line and exit 2, before a model is loaded or a file is emptied."""
    path = tmp_path / (name or "missing.txt")
    if name:
        path.write_bytes(content)
    run = tag("--config", config, path, "-o", tmp_path / "out.jsonl")
    assert run.returncode == 2
    assert words in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert not name or path.read_bytes() == content
