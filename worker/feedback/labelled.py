"""The labelled set that corrections are collected into: JSON lines that `tagstream train` reads as they are.

`text` and `label` (a list where a text has several, or none), and beside them who said so, when, and of which message.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from schemas import Coordinates
from worker.errors import SettingsError
from worker.feedback.correction import Correction


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    text: str
    label: str | tuple[str, ...]
    by: str
    at: AwareDatetime | None
    source: Coordinates | None
    note: str | None = None


def read_labelled(path: Path) -> Iterator[Correction]:
    """What was collected before; nothing where the file is not there. Raises `SettingsError` for another file."""
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield _correction(line, f"{path} line {number}")
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}; choose another --out") from None


def write_labelled(path: Path, corrections: Iterable[Correction]) -> int:
    """Whole or not at all, for its owner's eyes only; how many. Raises `SettingsError`."""
    count = 0
    try:
        # mkstemp makes a file that only its owner may read.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                for correction in corrections:
                    file.write(_line(correction))
                    count += 1
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}; choose another --out") from None
    return count


def _line(correction: Correction) -> bytes:
    labels, source = correction.labels, correction.source
    row = {
        "text": correction.text,
        "label": labels[0] if len(labels) == 1 else labels,
        "by": correction.by,
        "at": correction.at,
        "source": None if source is None else source.model_dump(exclude_none=True),
    }
    note = {} if correction.note is None else {"note": correction.note}
    return orjson.dumps(row | note, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


def _correction(line: bytes, where: str) -> Correction:
    try:
        row = _Row.model_validate_json(line)
    except ValidationError:
        raise SettingsError(
            f"{where} is not of a file that `feedback collect` has written; choose another --out"
        ) from None
    labels = (row.label,) if isinstance(row.label, str) else row.label
    return Correction(row.source, row.text, labels, row.by, row.at, row.note)
