"""A model directory written whole or not at all, and never over something else."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.errors import SettingsError
from worker.model.folder import ModelFolder
from worker.model.manifest import MANIFEST


def refuse_target(out: Path) -> None:
    """Raises `SettingsError` where `out` is something that training has not made, or cannot be made."""
    if out.exists() and not (out / MANIFEST).exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"{out} exists and is not a trained model; choose another --out")
    above = next(parent for parent in out.absolute().parents if parent.exists())
    if not above.is_dir():
        raise SettingsError(f"{above} is a file; choose another --out")


@contextmanager
def new_directory(out: Path) -> Iterator[Path]:
    """An empty directory beside `out`, which takes its place if the block ends well."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
            built = Path(scratch) / out.name
            built.mkdir()
            yield built
            _as_readable_as_the_directory(built)
            put_in_place(built, out)
    except OSError as error:
        raise SettingsError(f"cannot write {out}: {error.strerror or type(error).__name__}") from None


def put_in_place(built: Path, out: Path) -> None:
    """A finished directory to where it belongs; what is there is gone. Raises `SettingsError`."""
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
            if out.exists():
                out.rename(Path(scratch) / f"{out.name}.replaced")
            built.rename(out)
    except OSError as error:
        raise SettingsError(f"cannot write {out}: {error.strerror or type(error).__name__}") from None


def copy_model(folder: ModelFolder, built: Path) -> None:
    """The files that make a model up; never those that happen to lie beside them."""
    for file in folder.files:
        (built / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder.root / file, built / file)


def _as_readable_as_the_directory(built: Path) -> None:
    """safetensors writes files that only their owner may read; the worker often is somebody else."""
    mode = built.stat().st_mode & 0o666
    for path in built.rglob("*"):
        if path.is_file():
            path.chmod(mode)
