"""How findings look."""

from __future__ import annotations

from worker.checks.finding import WIDTH, as_json, count, error, ok, shown, skipped


def test_long_findings_are_wrapped_below_their_text() -> None:
    """No line is wider than a terminal; a word, such as a setting, is never torn."""
    first, *rest = shown(error("topic", "comments", "is missing", "make it with " + "kafka.a-b-c " * 12)).splitlines()
    assert first.startswith("error    topic comments: is missing; make it")
    assert rest
    assert all(line.startswith(" " * 9 + "kafka.a-b-c") and len(line) <= WIDTH for line in rest)


def test_nothing_to_do_is_not_said() -> None:
    """A good finding ends with what it is."""
    assert shown(ok("clock", "", "right")) == "ok       clock: right"


def test_json_counts() -> None:
    """A program reads each finding's parts, and how many are bad."""
    findings = [error("a", "x", "is wrong", "mend it"), skipped("b", "no a")]
    assert as_json(findings)["errors"] == 1
    assert as_json(findings)["findings"][0] == {
        "severity": "error",
        "check": "a",
        "where": "x",
        "what": "is wrong",
        "do": "mend it",
    }
    assert count(findings, "skipped") == 1
