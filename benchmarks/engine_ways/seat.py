"""A process that holds one way, loaded and warm, and measures when it is asked.

One for each way, as they must not share a heap; all at once, so that rounds can alternate without loading again.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from typing import BinaryIO

from benchmarks.engine_ways.questions import Figure, Question, Ready, Setup
from worker.errors import Stop


class Seat:
    """A context manager. Once it is ready, `unavailable` says why nothing can be asked of it; empty if it can."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.unavailable = ""

    def __enter__(self) -> Seat:
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.engine_ways.seat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )
        self._write(self._setup)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
        self._said.close()

    def wait_until_ready(self) -> None:
        """Raises `Stop`, as `ask` does."""
        self.unavailable = Ready.model_validate_json(self._read()).unavailable

    def ask(self, question: Question) -> Figure:
        """Raises `Stop` with the last line that the process said."""
        self._write(question)
        return Figure.model_validate_json(self._read())

    def _write(self, message: Setup | Question) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is gone; reading says why
            self._process.stdin.write(message.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()

    def _read(self) -> bytes:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise Stop(f"{self._setup.way}: {self._last_line()}")
        return answer

    def _last_line(self) -> str:
        code = self._process.wait()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip().splitlines()
        return said[-1] if said else f"exit code {code}"


def main() -> None:
    """Reads a setup, then questions, until its input ends."""
    from benchmarks.engine_ways.measuring import Measuring

    answers: BinaryIO = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        measuring = Measuring(Setup.model_validate_json(sys.stdin.buffer.readline()))
    except ImportError as error:
        _say(answers, Ready(unavailable=f"{error.name} is not installed"))
        return
    _say(answers, Ready())
    for line in sys.stdin.buffer:
        _say(answers, measuring.answer(Question.model_validate_json(line)))


def _say(answers: BinaryIO, answer: Ready | Figure) -> None:
    answers.write(answer.model_dump_json().encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
