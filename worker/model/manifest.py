"""`tagstream.json`: what a trained model directory says of itself that transformers has no place for.

One file for both kinds of head. What a newer or older tagstream wrote is refused rather than half understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from worker.errors import SettingsError

MANIFEST = "tagstream.json"
FORMAT: Literal[2] = 2

HeadKind = Literal["linear", "stock"]
Features = Literal["embedding", "embedding+characters"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EncoderOrigin(_Part):
    """What was trained on: its name, its directory if it had one, and the revision of its files without a head."""

    name: str
    path: str | None = None
    revision: str


class Prepared(_Part):
    """How texts were prepared, as `Preparation.to_record` writes it, and the fingerprint of that."""

    options: dict[str, Any] = {}
    fingerprint: str


class DataOrigin(_Part):
    """The corpus: its fingerprint, and how many texts each split gave."""

    fingerprint: str
    counts: dict[str, int] = {}


class Manifest(_Part):
    """`head`: `linear` is `head.safetensors` on the pooled embedding, `stock` is part of the transformers model.

    `temperature` is folded into the weights already. `thresholds`: below its own a label is unsure. `tune` is what was
    trained: head, top:N or full. `checksums` are SHA-256 by file, of all files but this one and the model card.
    """

    format: Literal[2] = FORMAT
    labels: tuple[str, ...] = Field(min_length=1)
    kind: Literal["single", "multi"]
    head: HeadKind
    features: Features = "embedding"
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}
    encoder: EncoderOrigin | None = None
    tune: str | None = None
    preparation: Prepared | None = None
    data: DataOrigin | None = None
    versions: dict[str, str] = {}
    checksums: dict[str, str] = {}

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("two labels have the same name")
        if strange := sorted(set(self.thresholds) - set(self.labels)):
            raise ValueError(f"thresholds name {strange[0]!r}, which is no label")
        if self.head == "stock" and self.features != "embedding":
            raise ValueError(f"a stock head cannot read {self.features}")
        return self

    def write(self, folder: Path) -> None:
        text = self.model_dump_json(indent=1, exclude_none=True)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """None where a folder has none. Raises `SettingsError` for one that is damaged or of another format."""
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}; the model is not whole") from None
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise SettingsError(f"model {folder}: {_why(error)}") from None


def refuse_damage(folder: Path, manifest: Manifest, found: Mapping[str, str]) -> None:
    """Raises `SettingsError` where a file is not the one that was trained; `found` are SHA-256 by file."""
    for file, wanted in manifest.checksums.items():
        if file not in found:
            raise SettingsError(f"model {folder} lacks {file}, which {MANIFEST} names; copy the directory whole")
        if found[file] != wanted:
            raise SettingsError(
                f"model {folder}: {file} is not the one that {MANIFEST} was written for; copy it again or train anew"
            )


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if where == "format":
        return f"{MANIFEST} is not of format {FORMAT}; train the model again"
    if first["type"] == "json_invalid":
        return f"{MANIFEST} is not JSON; the model is not whole"
    reason = first["msg"].removeprefix("Value error, ")
    return f"{MANIFEST}: {f'{where}: ' if where else ''}{reason}; mend it or train the model again"
