"""An operator's commands before and after there is a worker."""

from __future__ import annotations

import os

import pytest

from tests.memory import MemoryLog
from tests.workbench import Bench
from worker.control import Control
from worker.errors import SettingsError


@pytest.fixture
def control() -> Control:
    return Control(log_level="info")


def test_what_came_early_is_obeyed_once_there_is_a_worker(control: Control) -> None:
    """A pause and a reload that come while it starts are not lost."""
    pipeline, reloads = Bench(MemoryLog()).pipeline, list[bool]()
    control.pause()
    control.reload()
    assert control.paused
    control.attach(pipeline=pipeline, reload=lambda: reloads.append(True))
    assert pipeline.paused
    assert reloads == [True]
    control.resume()
    control.reload()
    assert not pipeline.paused
    assert reloads == [True, True]


def test_nothing_is_done_unasked(control: Control) -> None:
    """A pause that was taken back, and no reload: the worker runs."""
    pipeline, reloads = Bench(MemoryLog()).pipeline, list[bool]()
    control.pause()
    control.resume()
    control.attach(pipeline=pipeline, reload=lambda: reloads.append(True))
    assert not pipeline.paused
    assert reloads == []


def test_a_stop_ends_what_is_still_starting_and_drains_what_runs(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before there is a worker there is nothing to drain: exit code 0, at once."""
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        raise SystemExit

    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(SystemExit):
        control.stop()
    assert not control.stopping
    control.attach(pipeline=Bench(MemoryLog()).pipeline, reload=lambda: None)
    control.stop()
    assert control.stopping
    assert codes == [0]


def test_a_level_that_does_not_exist_changes_nothing(control: Control) -> None:
    """The status goes on to say what is true."""
    with pytest.raises(SettingsError, match="loud"):
        control.set_log_level("loud")
    assert control.log_level == "info"
