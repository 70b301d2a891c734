"""The section `clusters`: the table that all workers share, and how it is learned."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from worker.section import Fraction, Positive, Seconds, Section, TopicName

Cosine = Annotated[float, Field(ge=-1.0, le=1.0)]


class ClusterSettings(Section):
    """Incremental clusters (MiniBatchKMeans)."""

    enabled: bool = Field(default=True, description="Assign clusters.")
    table: Annotated[str, Field(pattern=r"^[^/\x00]+$")] = Field(
        default="default", description="The table's name in results."
    )
    topic: TopicName = Field(default="tagstream-clusters", description="The table of all workers; compacted.")
    sample_topic: TopicName = Field(
        default="tagstream-cluster-samples", description="What the learner learns from: embeddings, no texts."
    )
    event_topic: TopicName = Field(
        default="tagstream-cluster-events",
        description="What happens to ids: born, split, merged, drifted, retired, renamed.",
    )
    encoder: str | None = Field(
        default=None,
        description="Directory, hub id, or `minilm`: gives the embeddings. Default: the base of model.path.",
    )
    k: Annotated[int, Field(ge=2)] = Field(default=32, description="Number of clusters.")
    warmup: Positive = Field(default=2000, description="Texts before the first table; until then all are unassigned.")
    unassigned_quantile: Fraction = Field(
        default=0.05, description="Share of known texts that may count as far from everything."
    )
    samples_per_s: Seconds = Field(
        default=200.0, description="Texts a second that each worker offers to the learner, at most."
    )
    count_cap: Positive = Field(
        default=200, description="Texts that a centre stands for, at most: with more it follows its topic more slowly."
    )
    window: Positive = Field(default=4000, description="Recent texts that splits and merges are judged on, at most.")
    window_h: Positive = Field(
        default=24,
        description="Hours that they are spread over, by their own time; older ones too where these have few.",
    )
    swap_ratio: Annotated[float, Field(ge=1.0)] = Field(
        default=3.0, description="A split must gain so many times what the merge costs that makes room for it."
    )
    dormant_after_days: Positive = Field(
        default=14, description="A cluster is retired at the earliest so long after its last text."
    )
    drift_cosine: Cosine = Field(
        default=0.7, description="Cosine to its first centre under which a cluster gets a new id."
    )
    names: bool = Field(default=True, description="Name clusters by their most typical words.")
    seed: int = Field(default=0, description="Of the learner.")
