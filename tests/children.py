"""What children of tests run. Imported in each of them, so it imports little."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.child import Answer
from worker.errors import SettingsError, Stop
from worker.frames import Frame

ROOT = Path(__file__).parent.parent


def echo(recipe: Frame) -> Answer:
    """Answers with what it was asked, or fails as it is told to."""

    def answer(request: Frame) -> Frame:
        match request.header.get("do"):
            case "stop":
                raise Stop("the device is on fire")
            case "fail":
                raise ValueError("secret")
            case "die":
                os.kill(os.getpid(), request.header["signal"])
            case "exit":
                os._exit(3)
            case "signals":
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGTERM)
        return request

    return answer


def refused(recipe: Frame) -> Answer:
    raise SettingsError("model.path x: no such directory")


def unloadable(recipe: Frame) -> Answer:
    raise ConnectionError("secret")  # not that of its parent


def endless(recipe: Frame) -> Answer:
    """Says that it runs, and is never ready."""
    print(os.getpid(), flush=True)
    threading.Event().wait()
    raise AssertionError


def pid_of_child() -> int:
    (process,) = multiprocessing.active_children()
    assert process.pid is not None
    return process.pid


def assert_gone(pid: int) -> None:
    with pytest.raises(ProcessLookupError):  # a zombie could still be signalled
        os.kill(pid, 0)


def wait_for_end(pid: int) -> None:
    """Of a process that is nobody's child here: it is gone, or its new parent has not collected it yet."""
    pause = threading.Event()
    for _ in range(6000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        status = Path(f"/proc/{pid}/stat")
        if status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        pause.wait(0.01)
    raise AssertionError("it never ended")


def keep_asking(check: Callable[[], None]) -> None:
    """Until it raises; a process that was killed is not gone until the last of its threads is."""
    pause = threading.Event()
    for _ in range(6000):
        check()
        pause.wait(0.01)


def start_script(folder: Path, lines: str) -> subprocess.Popen[str]:
    """A worker of its own, whose lines run under `__main__`."""
    script = folder / "main.py"
    body = "".join(f"    {line}\n" for line in lines.strip().splitlines())
    script.write_text(f"if __name__ == '__main__':\n{body}", encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, as a terminal gives it
    )
