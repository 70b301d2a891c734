"""The message contracts: what tagstream reads and what it writes. Imports nothing of `worker`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION = 1

Score = Annotated[float, Field(ge=0.0, le=1.0)]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextMessage(BaseModel):
    """A text to tag. Field names can be mapped by the settings; unknown fields are ignored, or kept as metadata."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    text: str = Field(description="The text itself.")
    id: str | int | None = Field(default=None, description="Defaults to topic-partition-offset.")
    timestamp: str | int | float | None = Field(
        default=None,
        description="When the text was written: RFC 3339, or seconds or milliseconds since 1970; else it is left out.",
    )
    language: str | None = Field(default=None, description="BCP 47 tag, if the sender knows it.")
    metadata: dict[str, Any] | None = Field(default=None, description="Passed through untouched.")


class SourceRef(_Contract):
    """Where a message was read; kept through replays."""

    topic: str
    partition: int
    offset: int
    timestamp: datetime | None = Field(default=None, description="The record's own timestamp, if it has one.")


class Classification(_Contract):
    """What one classifier says."""

    classifier: str
    kind: Literal["single", "multi"]
    labels: list[str] = Field(description="The labels given: one for `single`, any number for `multi`.")
    scores: dict[str, Score] = Field(description="The score of every label.")
    model: str
    revision: str = Field(description="Fingerprint of the weights and the configuration.")


class ClusterAssignment(_Contract):
    """The cluster under one version of one table; `id` is null for unassigned."""

    table: str
    id: int | None = None
    name: str | None = None
    similarity: float | None = Field(default=None, description="Cosine to the nearest centre.")
    version: int = Field(description="0 while the first table is still being gathered.")


class TextFacts(_Contract):
    """What the model saw of the text."""

    tokens: int
    windows: int = 1
    truncated: bool = False
    language: str | None = Field(
        default=None, description="As its sender says; else, with text.identify_language, ISO 639-1 if it is clear."
    )
    charset: str = "utf-8"
    charset_guessed: bool = False


class TaggedMessage(_Contract):
    """A result: label, score, cluster, and the versions that made them."""

    schema_version: Literal[1] = 1
    id: str
    source: SourceRef
    timestamp: datetime | None = Field(
        default=None, description="When the text was written, as its sender says; UTC where that names no offset."
    )
    label: str | None = Field(description="Of the primary classifier; null if it gave none.")
    score: Score | None = Field(description="Of that label.")
    route: str = Field(description="The topic this result was sent to.")
    classifications: list[Classification]
    clusters: list[ClusterAssignment]
    text_facts: TextFacts
    processed_at: datetime
    text: str | None = Field(default=None, description="Only with output.include_text.")
    metadata: dict[str, Any] | None = None


class Coordinates(BaseModel):
    """A message by where it was read, as `TaggedMessage.source` says it."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    topic: str = Field(min_length=1)
    partition: int = Field(ge=0, lt=2**31)
    offset: int = Field(ge=0, lt=2**63)
    timestamp: AwareDatetime | None = Field(
        default=None, description="The record's own: where it is another one, so is the message (a topic made anew)."
    )


class Feedback(BaseModel):
    """A correction: what is right of a message. It has `source` or `text`, or both; the text then is what counts."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    schema_version: Literal[1] = 1
    source: Coordinates | None = Field(default=None, description="The message, by its coordinates.")
    text: str | None = Field(default=None, description="The text itself, for what no topic holds.")
    labels: list[Annotated[str, Field(pattern=r"\S")]] = Field(
        description="All its right labels: one where the model gives one, any number where it gives several."
    )
    by: str = Field(min_length=1, description="Who says so: a person, or what speaks for one.")
    at: AwareDatetime | None = Field(
        default=None,
        description="When: RFC 3339 with an offset; of two corrections of a message the later one wins."
        " Defaults to the record's own timestamp.",
    )
    note: str | None = Field(default=None, description="Why, for people.")

    @model_validator(mode="after")
    def _is_about_something(self) -> Self:
        if self.source is None and self.text is None:
            raise ValueError("neither source nor text is there")
        return self


class Reason(StrEnum):
    """Why a record is a dead letter: a closed set, so that it can be a metric label and a filter."""

    NOT_UTF8 = "not_utf8"
    INVALID_JSON = "invalid_json"
    UNSUPPORTED_FRAMING = "unsupported_framing"
    MISSING_TEXT = "missing_text"
    WRONG_TYPE = "wrong_type"
    BLANK_TEXT = "blank_text"
    TOMBSTONE = "tombstone"
    TOO_MANY_BYTES = "too_many_bytes"
    INVALID_MAIL = "invalid_mail"
    INVALID_REPLAY = "invalid_replay"
    UNTOKENIZABLE = "untokenizable"
    INFERENCE_FAILED = "inference_failed"
    OUTPUT_TOO_LARGE = "output_too_large"
    OUTPUT_REFUSED = "output_refused"
    CORRUPT_BATCH = "corrupt_batch"
