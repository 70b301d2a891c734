"""What `tagstream train` shows while it works."""

from __future__ import annotations

import pytest

from worker.cli.training import Terminal


def test_without_a_terminal_there_are_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten at most for a stretch of work, with the last thing said of it; all on stderr."""
    with Terminal().task("training", 1000) as advance:
        for step in range(1000):
            advance(1, f"loss {step}" if step % 50 == 0 else "")
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 10
    assert err.splitlines()[-1] == "training: 1,000 of 1,000, loss 950"
    assert err.splitlines()[0] == "training: 100 of 1,000, loss 50"
