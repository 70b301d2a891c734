"""When a model's files count as changed: once they are others than before, and have come to rest."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from queue import Queue

import pytest

from worker.folderwatch import FolderWatch, Picture, picture_of

WAIT_S = 20.0


class Watched(FolderWatch):
    """Counts its calls, and takes several looks at once."""

    def __init__(self, *folders: Path) -> None:
        super().__init__(folders=folders, every_s=1.0, changed=self._count)
        self.calls = 0

    def _count(self) -> None:
        self.calls += 1

    def looks(self, count: int) -> int:
        for _ in range(count):
            self.look()
        return self.calls


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return _model(tmp_path / "model")


def _model(folder: Path, content: str = "one") -> Path:
    (folder / "tokenizer").mkdir(parents=True)
    for name in ("config.json", "tokenizer/vocab.txt"):
        (folder / name).write_text(content)
    return folder


def _replace(file: Path, content: str) -> None:
    """As a careful copy does it; the time and, where the contents have it, the size stay."""
    before = file.stat()
    fresh = file.with_suffix(".fresh")
    fresh.write_text(content)
    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(fresh, file)


def test_files_that_stay_are_no_change(model: Path) -> None:
    """However often one looks."""
    assert Watched(model).looks(5) == 0


def test_a_change_counts_once_it_has_been_the_same_for_two_looks(model: Path) -> None:
    """While a copy is under way nothing is called; when it is through, once."""
    watch = Watched(model)
    for content in ("o", "on", "one and more"):
        (model / "weights").write_text(content)
        assert watch.looks(1) == 0
    assert watch.looks(1) == 1
    assert watch.looks(3) == 1


def test_every_change_after_the_last_call_counts(model: Path) -> None:
    """A model that was refused is looked at again as soon as it is mended, not before."""
    watch = Watched(model)
    (model / "config.json").write_text("broken")
    assert watch.looks(4) == 1
    (model / "config.json").write_text("mended")
    (model / "weights").write_text("w")
    assert watch.looks(2) == 2


def test_what_is_taken_back_is_no_change(model: Path) -> None:
    """A file that came and went leaves the model as it was loaded."""
    watch = Watched(model)
    (model / "note").write_text("x")
    assert watch.looks(1) == 0
    (model / "note").unlink()
    assert watch.looks(3) == 0


def test_a_file_of_the_same_size_and_time_is_another_one(model: Path) -> None:
    """Copies keep times, and weights keep their size: the file itself is a new one."""
    watch = Watched(model)
    _replace(model / "config.json", "two")
    assert watch.looks(2) == 1


def test_a_link_that_is_switched_is_a_change(tmp_path: Path) -> None:
    """`current -> v1` becomes `current -> v2`: the usual way to put a model in place at once."""
    for name in ("v1", "v2"):
        _model(tmp_path / name)
    current = tmp_path / "current"
    current.symlink_to("v1")
    watch = Watched(current)
    fresh = tmp_path / "fresh"
    fresh.symlink_to("v2")
    os.replace(fresh, current)
    assert watch.looks(2) == 1


def test_a_volume_that_is_switched_is_a_change(tmp_path: Path) -> None:
    """Kubernetes shows `config.json -> ..data/config.json` and switches `..data` to another folder beside it."""
    volume = tmp_path / "volume"
    for name in ("..1", "..2"):
        _model(volume / name)
    (volume / "..data").symlink_to("..1")
    (volume / "config.json").symlink_to("..data/config.json")
    watch = Watched(volume)
    assert watch.looks(3) == 0
    (volume / "..fresh").symlink_to("..2")
    os.replace(volume / "..fresh", volume / "..data")
    assert watch.looks(2) == 1


def test_a_missing_folder_is_waited_for(model: Path, tmp_path: Path) -> None:
    """Gone for a moment, or empty: nothing is called. Back as it was: nothing either. Back as another: a change."""
    other = _model(tmp_path / "other")
    watch = Watched(model, other)
    model.rename(tmp_path / "away")
    assert watch.looks(3) == 0
    model.mkdir()
    assert watch.looks(3) == 0
    model.rmdir()
    (tmp_path / "away").rename(model)
    assert watch.looks(3) == 0
    model.rename(tmp_path / "away")
    _model(model)
    assert watch.looks(2) == 1


def test_one_of_several_folders_is_enough(model: Path, tmp_path: Path) -> None:
    """The encoder's folder counts as the classifier's does."""
    other = _model(tmp_path / "other")
    watch = Watched(model, other)
    (other / "config.json").write_text("two and more")
    assert watch.looks(2) == 1


def test_links_may_go_in_circles_or_nowhere(model: Path) -> None:
    """They are seen as what they are, and the look ends."""
    (model / "tokenizer" / "up").symlink_to(model)
    (model / "lost").symlink_to("nothing")
    picture = picture_of(model)
    assert picture is not None
    assert sorted(Path(path).name for path in picture) == ["config.json", "lost", "vocab.txt"]
    assert Watched(model).looks(3) == 0


def test_the_watch_survives_what_goes_wrong() -> None:
    """A look that fails and a listener that fails are logged, and it goes on looking; `close` ends it."""
    pictures: Queue[str | None] = Queue()
    calls: Queue[int] = Queue()

    def picture(folder: Path) -> Picture | None:
        name = pictures.get(timeout=WAIT_S)
        return None if name is None else {name: (0, 0, 0)}

    def changed() -> None:
        calls.put(1)
        raise RuntimeError("told to fail")

    pictures.put("a")
    watch = FolderWatch(folders=[Path("model")], every_s=0.0, changed=changed, picture=picture)
    watch.start()
    for name in ("b", "b", None, "c", "c"):
        pictures.put(name)
    assert [calls.get(timeout=WAIT_S) for _ in range(2)] == [1, 1]
    closing = threading.Thread(target=watch.close)
    closing.start()
    while closing.is_alive():
        pictures.put("c")
        closing.join(0.01)
    assert not watch._thread.is_alive()
