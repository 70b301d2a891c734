"""A process of ours beside the worker's: started, asked, seen to die, and ended. Both sides of it.

Imports little: a child settles its signals, and whether its parent lives, before anything slow.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from worker.errors import SettingsError, Stop
from worker.frames import Frame

CLOSE_TIMEOUT_S = 5.0
FAILURE = "failure"  # in the header of a last reply; no answer may have it

Answer = Callable[[Frame], Frame]
Make = Callable[[Frame], Answer]
T = TypeVar("T")

_OURS = {"settings": SettingsError, "stop": Stop}  # what travels with its line; of all else only type and place do
# Sent to the whole process group by a terminal, or by whoever means the worker.
_TERMINAL = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}


class Lost(Exception):
    """The child answers no more. `killed_by` is the signal that ended it, if one did."""

    def __init__(self, detail: str, killed_by: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.killed_by = killed_by


class Late(Exception):
    """The child has not answered in time. It may still: ask it no more, close it."""


class Child:
    """A spawned process in which `make(recipe)` gives the function that answers. Each request gets one reply.

    `make` is a function of a module that imports little. `name` is what the process is called in `ps`.
    """

    def __init__(self, make: Make, recipe: Frame, *, name: str) -> None:
        self._asking = threading.Lock()
        self._closing = False
        spawn = multiprocessing.get_context("spawn")
        self._connection, childs_end = spawn.Pipe()
        self._process = spawn.Process(target=attend, args=(childs_end, make, recipe.to_bytes()), name=name, daemon=True)
        with _signals_blocked():
            self._process.start()
        childs_end.close()  # only the child may hold it: its death must be seen here as the end of the stream
        atexit.register(self.close)  # before multiprocessing's own, which would wait for the child for ever

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def ask(self, request: Frame, timeout_s: float | None = None) -> Frame:
        """Wait for the reply, at most so long. Any thread; raises `Lost`, `Late`, `SettingsError` and `Stop`."""
        with self._asking:
            try:
                with contextlib.suppress(ConnectionError):  # it has failed, and its last reply says how
                    self._connection.send_bytes(request.to_bytes())
                if not self._connection.poll(timeout_s):
                    raise Late
                reply = Frame.from_bytes(self._connection.recv_bytes())
            except (EOFError, OSError):
                raise self._lost() from None
        if FAILURE not in reply.header:
            return reply
        kind, detail = reply.header[FAILURE]
        raise _OURS.get(kind, Lost)(detail)

    def check(self) -> None:
        """Raises `Lost` where it has ended while nobody asks it; who asks is told anyway. Never blocks; any thread."""
        if not self._asking.acquire(blocking=False):
            return
        try:
            if not self._closing and multiprocessing.connection.wait([self._process.sentinel], 0):
                raise self._lost()
        finally:
            self._asking.release()

    def close(self) -> None:
        """Kill it: it holds nothing that would have to be saved. Bounded; never raises; any thread."""
        self._closing = True
        atexit.unregister(self.close)
        with contextlib.suppress(OSError):
            self._process.kill()  # who waits for a reply sees the end of the stream
        self._process.join(CLOSE_TIMEOUT_S)
        if self._asking.acquire(timeout=CLOSE_TIMEOUT_S):  # else its descriptor could be read as somebody else's
            self._connection.close()
            self._asking.release()

    def _lost(self) -> Lost:
        if self._closing:
            return Lost("it was closed")
        self._process.join(CLOSE_TIMEOUT_S)
        code = self._process.exitcode
        if code is None:
            return Lost("it closed its end")
        if code >= 0:
            return Lost(f"it ended with exit code {code}")
        return Lost(f"it was killed by {signal.Signals(-code).name}", -code)


def attend(connection: Connection, make: Make, recipe: bytes) -> None:
    """Answer in the child, until the other end is closed or its process is dead, even while `make` runs.

    A Ctrl-C or a SIGTERM to the process group is the worker's business: it ends the child when it has drained.
    """
    for number in _TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERMINAL)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    with contextlib.suppress(OSError):  # where there is such a file
        Path("/proc/self/comm").write_text(multiprocessing.current_process().name, encoding="utf-8")
    with contextlib.suppress(EOFError, ConnectionError):
        _serve(connection, make, recipe)


def _serve(connection: Connection, make: Make, recipe: bytes) -> None:
    answer, failure = _attempt(make, recipe)
    while answer is not None and failure is None:
        reply, failure = _attempt(lambda request: answer(request).to_bytes(), connection.recv_bytes())
        if reply is not None:
            connection.send_bytes(reply)
    if failure is not None:
        connection.send_bytes(failure.to_bytes())


def _attempt(function: Callable[[Frame], T], frame: bytes) -> tuple[T | None, Frame | None]:
    """What it gives, or how it failed."""
    try:
        return function(Frame.from_bytes(frame)), None
    except BaseException as error:  # a panic in Rust is no `Exception`
        return None, _failure(error)


def _failure(error: BaseException) -> Frame:
    for kind, ours in _OURS.items():
        if isinstance(error, ours):
            return Frame({FAILURE: (kind, str(error))})
    where = traceback.extract_tb(error.__traceback__)[-1]
    detail = f"{type(error).__name__} in {where.name}, {os.path.basename(where.filename)}:{where.lineno}"
    return Frame({FAILURE: ("other", detail)})


def _end_with_parent() -> None:
    """A parent that was killed closes nothing by itself but this."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """What is started meanwhile inherits it: no Ctrl-C can end the child before it ignores them."""
    resource_tracker.ensure_running()  # else starting it, inside, would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TERMINAL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
