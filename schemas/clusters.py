"""The contracts of the shared clusters: samples to the learner, the table that it publishes, what happens to ids."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Vector = Annotated[str, Field(description="Base64 of little-endian float32.")]
Id = Annotated[int, Field(ge=1)]


class _Contract(BaseModel):
    # A version that only adds fields keeps its number: readers pass over what they do not know.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    schema_version: Literal[1] = 1
    table: str


class ClusterSample(_Contract):
    """A text that the learner may learn from; it is not the text."""

    encoder: str = Field(description="Fingerprint of what made the embedding.")
    embedding: str = Field(description="Base64 of little-endian float16, of length 1 but for rounding.")
    words: list[str] = Field(default_factory=list, description="Some of its words, redacted, for names.")
    timestamp_ms: int = Field(
        description="Of the text's record. The sample's own is later: it must outlive a read of old texts."
    )


class ClusterHeader(_Contract):
    """The last record of each version of a table; its key is the table's name."""

    version: int = Field(ge=1)
    encoder: str = Field(description="Fingerprint of what made the embeddings; others must not be compared with them.")
    ids: list[Id] = Field(description="All clusters of this version, in the order of the learner.")
    next_id: Id = Field(description="Greater than every id ever given.")
    threshold: float = Field(description="A text whose cosine to every centre is less is unassigned.")
    position: int = Field(ge=0, description="Offset of the first sample that is not learned.")
    at: AwareDatetime = Field(description="Time of the last sample, as its record says.")
    map: str | None = Field(
        default=None, description="Fingerprint of the map; without one, centres are compared with the embeddings."
    )


class ClusterMap(_Contract):
    """A map of a table that deep clustering has made; its key is `table/map`. A null value: it has none any more."""

    matrix: str = Field(
        description="Base64 of little-endian float16, row by row: centres are compared with embedding @ matrix, made"
        " unit length."
    )


class ClusterWord(BaseModel):
    """A word that came in at least five different messages of a cluster."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    word: str
    score: float = Field(description="How typical it is: class-based TF-IDF.")
    weight: float = Field(description="Messages of the cluster that have it, recent ones counting more.")
    everywhere: float = Field(description="The same over all clusters.")


class ClusterRecord(_Contract):
    """A cluster; its key is `table/id`. A null value: its id has ended."""

    id: Id
    version: int = Field(ge=1, description="The version in which it was last changed.")
    name: str | None = Field(default=None, description="Its most typical words, or what a person calls it.")
    named: bool = Field(default=False, description="A person gave the name.")
    pinned: bool = Field(
        default=False, description="A person wants it kept: never merged away, split, retired or renamed."
    )
    words: list[ClusterWord] = Field(default_factory=list, description="Its most typical words, what names come from.")
    words_weight: float = Field(default=0.0, description="What all its words weigh.")
    centre: Vector
    anchor: Vector = Field(description="Its centre when the id was given.")
    count: int = Field(ge=1, description="Its weight in learning, capped.")
    seen: int = Field(ge=0, description="Samples that were nearest to it so far.")
    last_seen_at: AwareDatetime


class ClusterEvent(_Contract):
    """What happened to ids. One among `parents` that is not among `children` has ended; one that is only among
    `children` has begun.
    """

    version: int = Field(ge=1)
    kind: Literal["born", "split", "merged", "drifted", "retired", "renamed"]
    parents: list[Id]
    children: list[Id]
    count: int = Field(description="Recent samples that it is about.")
    at: AwareDatetime
    reason: str
    names: dict[str, str] = Field(default_factory=dict, description="Of parents and children, by id, where known.")


class ClusterOrder(_Contract):
    """What a person wants, among the samples; its key is `order`. The learner carries orders out, in their order."""

    kind: Literal["rename", "pin", "unpin", "merge"]
    ids: list[Id] = Field(
        min_length=1, max_length=2, description="Two for `merge`: the first goes on for both, pinned."
    )
    name: str | None = Field(default=None, max_length=100, description="For `rename`; null: its typical words again.")
