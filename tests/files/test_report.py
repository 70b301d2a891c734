"""What a person reads on stderr."""

from __future__ import annotations

import io

from worker.files.delivery import Rejected
from worker.files.report import Report, Totals, summary

LETTER = Rejected("a-file-with-a-rather-long-name.jsonl", 0, 1, "decode", "invalid_json", "why [bold]so[/bold] " * 5)


def test_summary_has_the_largest_first() -> None:
    """Labels and reasons by count, then by name."""
    assert summary(Totals(4, {"b": 1, "a": 1, "c": 2}, {"blank_text": 1}, 1, 2.0)) == [
        "4 records in 2.0 s, 2 texts/s",
        "labels: c 2, a 1, b 1",
        "dead letters: 1 (blank_text 1)",
        "left out, as the settings say: 1",
    ]


def test_summary_of_nothing() -> None:
    """An empty file is no division by zero, and dead letters are named even if there are none."""
    assert summary(Totals(0, {}, {}, 0, 0.0)) == ["0 records in 0.0 s, 0 texts/s", "dead letters: 0"]


def test_a_dead_letter_is_one_line_as_it_is() -> None:
    """Neither wrapped nor read as markup."""
    stream = io.StringIO()
    with Report(stream=stream, bar=False, position=lambda: 0, size=None) as report:
        report.reject(LETTER)
        report.through(1)
    assert stream.getvalue() == f"{LETTER}\n"


def test_dead_letters_are_lines_above_the_bar() -> None:
    """With a bar, too, the line is whole."""
    stream = io.StringIO()
    with Report(stream=stream, bar=True, position=lambda: 5, size=10) as report:
        report.through(1)
        report.reject(LETTER)
    assert f"{LETTER}\n" in stream.getvalue()
