"""An operator's commands, from before there is a worker: what came early is obeyed once there is one."""

from __future__ import annotations

import os
from collections.abc import Callable

from worker import logs
from worker.pipeline import Pipeline


class Control:
    """What signals and HTTP requests act on; satisfies `web.site.Control`. Any thread, and signal handlers."""

    def __init__(self, *, log_level: str) -> None:
        self.log_level = log_level
        self._pipeline: Pipeline | None = None
        self._reload: Callable[[], None] = self._reload_later
        self._paused = False
        self._reload_wanted = False

    def attach(self, *, pipeline: Pipeline, reload: Callable[[], None]) -> None:
        """From now on there is somebody to obey."""
        self._pipeline, self._reload = pipeline, reload
        if self._paused:
            pipeline.pause()
        if self._reload_wanted:
            reload()

    @property
    def stopping(self) -> bool:
        return self._pipeline is not None and self._pipeline.stopping

    @property
    def paused(self) -> bool:
        return self._paused

    def stop(self) -> None:
        """Drain and end. A worker that is still starting ends here and now, with exit code 0.

        It may be waiting for brokers or for the model, deep in a library; it has read nothing and is in no group yet,
        and its child processes end when it does.
        """
        if self._pipeline is None:
            os._exit(0)
        self._pipeline.stop()

    def pause(self) -> None:
        self._paused = True
        if self._pipeline:
            self._pipeline.pause()

    def resume(self) -> None:
        self._paused = False
        if self._pipeline:
            self._pipeline.resume()

    def reload(self) -> None:
        """The model that is being loaded may be the old one already, so another reload follows it."""
        self._reload()

    def set_log_level(self, level: str) -> None:
        logs.set_level(level)
        self.log_level = level

    def _reload_later(self) -> None:
        self._reload_wanted = True
