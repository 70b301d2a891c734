"""A model directory is there whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.errors import SettingsError
from worker.training.directory import new_directory, refuse_target


def test_it_takes_the_place_of_the_old_one_at_the_end(tmp_path: Path) -> None:
    """Until then the old one is there, and afterwards nothing else."""
    out = tmp_path / "models" / "spam"
    for content in ("old", "new"):
        with new_directory(out) as built:
            (built / "tagstream.json").write_text(content, encoding="utf-8")
            assert not out.exists() or (out / "tagstream.json").read_text(encoding="utf-8") == "old"
    assert (out / "tagstream.json").read_text(encoding="utf-8") == "new"
    assert list(out.parent.iterdir()) == [out]


def test_whoever_may_list_it_may_read_its_weights(tmp_path: Path) -> None:
    """safetensors keeps a file to its owner; a worker in a container is somebody else."""
    with new_directory(tmp_path / "spam") as built:
        built.chmod(0o755)
        (built / "head.safetensors").touch(mode=0o600)
    assert (tmp_path / "spam" / "head.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    """Nothing half-written stays behind; a full disk is one line."""
    out = tmp_path / "spam"
    out.mkdir()

    def fill() -> None:
        with new_directory(out) as built:
            (built / "half").touch()
            raise OSError(28, "No space left on device")

    with pytest.raises(SettingsError, match=r"cannot write .*No space left"):
        fill()
    assert list(tmp_path.iterdir()) == [out]
    assert not list(out.iterdir())


def test_what_training_has_not_made_is_not_replaced(tmp_path: Path) -> None:
    """Files, folders with anything in them, and places below a file are refused; an empty folder is not."""
    (tmp_path / "notes.txt").touch()
    for out in (tmp_path / "notes.txt", tmp_path, tmp_path / "notes.txt" / "model"):
        with pytest.raises(SettingsError, match="choose another --out"):
            refuse_target(out)
    (tmp_path / "empty").mkdir()
    refuse_target(tmp_path / "empty")
    refuse_target(tmp_path / "new" / "model")
