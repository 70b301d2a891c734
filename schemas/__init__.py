"""The message contracts of tagstream: pydantic models, and the JSON Schema files generated from them."""

from schemas.messages import (
    SCHEMA_VERSION,
    Classification,
    ClusterAssignment,
    Coordinates,
    Feedback,
    Reason,
    SourceRef,
    TaggedMessage,
    TextFacts,
    TextMessage,
)

__all__ = [
    "SCHEMA_VERSION",
    "Classification",
    "ClusterAssignment",
    "Coordinates",
    "Feedback",
    "Reason",
    "SourceRef",
    "TaggedMessage",
    "TextFacts",
    "TextMessage",
]
