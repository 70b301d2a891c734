"""A process beside the worker's: its answers, its end, and that it never outlives the worker."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.children import assert_gone, echo, endless, keep_asking, refused, start_script, unloadable, wait_for_end
from worker.child import Child, Late, Lost
from worker.errors import SettingsError, Stop
from worker.frames import Frame

HELLO = Frame({"hello": 1})
ENDLESS = """
from tests.children import echo, endless
from worker.child import Child
from worker.frames import Frame
child = Child(endless, Frame({}), name='endless')
"""


@pytest.fixture
def child() -> Iterator[Child]:
    with closing(Child(echo, Frame({}), name="echo")) as child:
        yield child


def test_it_answers(child):
    """Each request gets its reply, whatever its size; nobody waits for ever on a full pipe."""
    large = np.arange(1_000_000, dtype=np.int32)
    assert child.ask(HELLO).header == HELLO.header
    np.testing.assert_array_equal(child.ask(Frame({}, (large,))).arrays[0], large)


def test_it_is_found_by_its_name(child):
    """`ps` and `top` show what the process is."""
    child.ask(HELLO)
    comm = Path(f"/proc/{child.pid}/comm")
    if not comm.exists():
        pytest.skip("no /proc")
    assert comm.read_text() == "echo\n"


def test_signals_to_the_group_are_the_workers_business(child):
    """Ctrl-C and SIGTERM pass it by: the worker ends it when it has drained."""
    os.kill(child.pid, signal.SIGINT)  # as early as can be
    os.kill(child.pid, signal.SIGTERM)
    assert child.ask(HELLO) == HELLO
    assert child.ask(Frame({"do": "signals"})).header == {"do": "signals"}
    assert child.ask(HELLO) == HELLO


@pytest.mark.parametrize(
    ("make", "request_", "error", "line"),
    [
        (refused, HELLO, SettingsError, "^model.path x: no such directory$"),
        (echo, Frame({"do": "stop"}), Stop, "^the device is on fire$"),
        (echo, Frame({"do": "fail"}), Lost, r"^ValueError in answer, children.py:\d+$"),
        (unloadable, HELLO, Lost, r"^ConnectionError in unloadable, children.py:\d+$"),
        (echo, Frame({"do": "exit"}), Lost, "^it ended with exit code 3$"),
        (echo, Frame({"do": "die", "signal": signal.SIGSEGV}), Lost, "^it was killed by SIGSEGV$"),
    ],
    ids=["settings", "stop", "failure", "connection error", "exit", "crash"],
)
def test_how_it_failed(make, request_, error, line):
    """Our own errors come back as they are; of others the type and place, never their text; a death with its cause."""
    with closing(Child(make, Frame({}), name="failing")) as child:
        with pytest.raises(error, match=line):
            child.ask(request_)
        with pytest.raises(Lost):  # and from then on it is lost
            child.ask(HELLO)


def test_a_failure_at_the_start_is_heard_late():
    """It failed and ended before anybody asked: the first question still gets the reason."""
    with closing(Child(refused, Frame({}), name="refused")) as child:
        child._process.join()
        with pytest.raises(SettingsError, match="no such directory"):
            child.ask(Frame({}, (np.zeros(1_000_000, np.int32),)))


def test_a_death_that_nobody_waits_for_is_found(child):
    """`check` says nothing of one that lives, or that was closed, and how any other ended."""
    child.check()
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(Lost, match="killed by SIGKILL"):
        keep_asking(child.check)
    child.close()
    child.check()


def test_an_answer_may_be_too_late(child):
    """Who will not wait any longer is told, and can then only close it; in time it is an answer like any other."""
    assert child.ask(HELLO, timeout_s=60) == HELLO
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(Late):
        child.ask(HELLO, timeout_s=0.01)
    child.close()
    assert_gone(child.pid)


def test_close_ends_it_whatever_it_does(child):
    """Closed while stopped, closed twice, asked afterwards: it is gone, and says so."""
    os.kill(child.pid, signal.SIGSTOP)
    child.close()
    child.close()
    assert_gone(child.pid)
    with pytest.raises(Lost, match="it was closed"):
        child.ask(HELLO)


def test_close_frees_who_waits_for_it():
    """A thread that waits for a child that is never ready is told, and close does not wait for either."""
    child = Child(endless, Frame({}), name="endless")
    heard: list[str] = []

    def ask() -> None:
        with pytest.raises(Lost) as caught:
            child.ask(HELLO)
        heard.append(caught.value.detail)

    asking = threading.Thread(target=ask)
    asking.start()
    child.close()
    asking.join(60)
    assert heard == ["it was closed"]
    assert_gone(child.pid)


@pytest.mark.parametrize("make", ["echo", "endless"])
def test_a_worker_that_forgets_to_close_still_ends(tmp_path, make):
    """The interpreter's exit ends the child, although it ignores SIGTERM, and even where it is not ready yet."""
    worker = start_script(tmp_path, ENDLESS.replace("Child(endless", f"Child({make}"))
    _, errors = worker.communicate(timeout=60)
    assert (worker.returncode, errors) == (0, "")


def test_a_killed_worker_leaves_no_child(tmp_path):
    """kill -9 of the worker: the child sees it and ends by itself, even in the middle of loading."""
    worker = start_script(tmp_path, ENDLESS + "child.ask(Frame({}))")
    pid = int(worker.stdout.readline())
    os.kill(worker.pid, signal.SIGKILL)
    wait_for_end(pid)
    worker.communicate(timeout=60)


def test_an_interrupt_while_it_starts_ends_both(tmp_path):
    """Ctrl-C to the group while the child loads: the worker is interrupted, the child ends with it and says nothing."""
    lines = ENDLESS + "try:\n    child.ask(Frame({}))\nexcept KeyboardInterrupt:\n    print('interrupted', flush=True)"
    worker = start_script(tmp_path, lines)
    pid = int(worker.stdout.readline())
    os.killpg(worker.pid, signal.SIGINT)
    output, errors = worker.communicate(timeout=60)
    assert (output, errors) == ("interrupted\n", "")
    wait_for_end(pid)
