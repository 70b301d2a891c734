"""Results as lines, dead letters without their text, failures of writing."""

from __future__ import annotations

import errno
import io
from datetime import UTC, datetime

import pytest

from worker.errors import Stop
from worker.files.delivery import LinesDelivery, Rejected
from worker.results import dead_letter
from worker.types import Batch, DeadLetter, Outcome, Output, Record

RECORD = Record("in.txt", 0, 7, None, None, b"secret words")
LETTER = dead_letter(
    "dead", RECORD, DeadLetter("decode", "invalid_json", "the value is not JSON"), datetime(2026, 1, 1, tzinfo=UTC)
)


class Broken(io.BytesIO):
    """A file that cannot be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def write(self, _: object) -> int:
        raise self._error


def outcome_of(*outputs: tuple[Output, ...]) -> Outcome:
    return Outcome(Batch((RECORD,) * len(outputs), {}), outputs)


def deliver(results: io.BytesIO, outcome: Outcome) -> tuple[list[Rejected], list[int]]:
    rejected: list[Rejected] = []
    through: list[int] = []
    LinesDelivery(results=results, reject=rejected.append, through=through.append).deliver(outcome)
    return rejected, through


def test_results_are_lines_in_order() -> None:
    """One line a result, none for a record that is left out; then the batch counts as through."""
    results = io.BytesIO()
    rejected, through = deliver(results, outcome_of((Output("a", b"1"),), (), (Output("b", b"2"),)))
    assert (results.getvalue(), rejected, through) == (b"1\n2\n", [], [3])


def test_dead_letters_say_where_and_why() -> None:
    """Coordinates, stage and reason, and nothing of the text; a result on the same topic is still a result."""
    results = io.BytesIO()
    (rejected,), _ = deliver(results, outcome_of((LETTER,), (Output("dead", b"1"),)))
    assert str(rejected) == "in.txt[0]@7: decode: invalid_json: the value is not JSON"
    assert results.getvalue() == b"1\n"


def test_a_full_disk_stops_with_a_line() -> None:
    """What cannot be written ends the run, and says so."""
    with pytest.raises(Stop, match="No space left"):
        deliver(Broken(OSError(errno.ENOSPC, "No space left on device")), outcome_of((Output("a", b"1"),)))


def test_a_closed_pipe_is_told_apart() -> None:
    """The command ends quietly on it."""
    with pytest.raises(BrokenPipeError):
        deliver(Broken(BrokenPipeError()), outcome_of((Output("a", b"1"),)))
