"""Results as lines, as soon as their batch is through; satisfies `types.Delivery`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from schemas import headers
from worker.errors import Stop
from worker.types import Outcome, Output


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that could not be tagged: where it is in the file and why, never its text."""

    topic: str
    partition: int
    offset: int
    stage: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}: {self.stage}: {self.reason}: {self.message}"


class LinesDelivery:
    """Writes each result's value as a line to `results`, and tells `reject` of each dead letter.

    `through` is called after each batch, once its lines are out. A closed pipe is raised as it
    is, any other failure to write as `Stop`.
    """

    def __init__(
        self,
        *,
        results: BinaryIO,
        reject: Callable[[Rejected], None],
        through: Callable[[int], None],
    ) -> None:
        self._results = results
        self._reject = reject
        self._through = through

    def deliver(self, outcome: Outcome) -> None:
        try:
            self._write(outcome)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Stop(f"cannot write the results: {error.strerror}") from error
        self._through(len(outcome.outputs))

    def _write(self, outcome: Outcome) -> None:
        lines = bytearray()
        for outputs in outcome.outputs:
            for output in outputs:
                if any(name == headers.ERROR_REASON for name, _ in output.headers):
                    self._reject(_rejected(output))
                else:
                    lines += (output.value or b"") + b"\n"
        self._results.write(lines)
        self._results.flush()

    def recover(self) -> None:
        """Nothing can be lost that would have to be made ready again."""

    def close(self) -> None:
        """Whoever opened `results` closes it."""


def _rejected(output: Output) -> Rejected:
    """What a dead letter's headers say."""
    said = {name: value.decode("utf-8", "replace") for name, value in output.headers}
    return Rejected(
        topic=said[headers.SOURCE_TOPIC],
        partition=int(said[headers.SOURCE_PARTITION]),
        offset=int(said[headers.SOURCE_OFFSET]),
        stage=said[headers.ERROR_STAGE],
        reason=said[headers.ERROR_REASON],
        message=said[headers.ERROR_MESSAGE],
    )
