"""Tells when the files of a model have changed, and have come to rest."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

log = structlog.get_logger()

CLOSE_TIMEOUT_S = 5.0

Picture = Mapping[str, tuple[int, int, int]]


def picture_of(folder: Path) -> Picture | None:
    """When each file below was changed, its size and inode, behind symlinks as well.

    None where there is no file, or one goes away meanwhile. A file rewritten in place, in its size, under its old time
    looks the same.
    """
    picture: dict[str, tuple[int, int, int]] = {}
    seen: set[tuple[int, int]] = set()
    try:
        for place, folders, files in os.walk(folder, followlinks=True):
            here = os.stat(place)
            if (here.st_dev, here.st_ino) in seen:  # a volume shows its files under two names; links can go in circles
                folders.clear()
                continue
            seen.add((here.st_dev, here.st_ino))
            folders.sort()  # so that it is always the same name under which such a folder is seen
            for path in (os.path.join(place, name) for name in files):
                picture[path] = _signature(path)
    except OSError:
        return None
    return picture or None


def _signature(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        found = os.lstat(path)  # a link to nowhere
    return found.st_mtime_ns, found.st_size, found.st_ino


class FolderWatch:
    """Calls `changed` once the files below `folders` are others than those known, and the same at two looks.

    Known are those of the moment this is made (make it before the model is loaded), then those of the last call. While
    a folder is missing or empty nothing is called. `picture` is how a folder is looked at.
    """

    def __init__(
        self,
        *,
        folders: Sequence[Path],
        every_s: float,
        changed: Callable[[], None],
        picture: Callable[[Path], Picture | None] = picture_of,
    ) -> None:
        self._folders = tuple(folders)
        self._every_s = every_s
        self._changed = changed
        self._picture = picture
        self._known = self._last = self._pictures()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look_until_closed, name="folder-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_TIMEOUT_S)  # a look at a network volume can hang

    def look(self) -> None:
        """One look; the thread's work every `every_s`."""
        before, self._last = self._last, self._pictures()
        if self._last is not None and self._last == before and self._last != self._known:
            self._known = self._last
            self._changed()

    def _pictures(self) -> tuple[Picture, ...] | None:
        pictures = [self._picture(folder) for folder in self._folders]
        there = tuple(picture for picture in pictures if picture is not None)
        return there if len(there) == len(pictures) else None

    def _look_until_closed(self) -> None:
        while not self._closed.wait(self._every_s):
            try:
                self.look()
            except Exception:
                log.exception("looking at the model's files failed")
