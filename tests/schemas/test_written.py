"""Results are written without making the models of `schemas`; they must be what the models would write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from pydantic_core import from_json

from schemas import TaggedMessage
from tests.doubles import FakeEngine
from worker import app
from worker.clusters.none import NoClusters
from worker.config import load
from worker.metrics import Metrics
from worker.results import ResultForm, Tags, result
from worker.types import Batch, Message, Origin, Partition, Record

FORM = ResultForm("tagged", "source", True, "source", "dead", "out")
NOW = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
UNIT = st.floats(0, 1, width=32)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
CLASSIFICATION = st.fixed_dictionaries(
    {
        "classifier": TEXT,
        "kind": st.sampled_from(["single", "multi"]),
        "labels": st.lists(TEXT, max_size=2),
        "scores": st.dictionaries(TEXT, UNIT, max_size=3),
        "model": TEXT,
        "revision": TEXT,
    }
)
CLUSTER = st.fixed_dictionaries(
    {
        "table": TEXT,
        "id": st.none() | st.integers(0, 2**40),
        "name": st.none() | TEXT,
        "similarity": st.none() | st.floats(-1, 1, width=32),
        "version": st.integers(0, 2**40),
    }
)
FACTS = st.fixed_dictionaries(
    {
        "tokens": st.integers(0, 10**6),
        "windows": st.integers(0, 100),
        "truncated": st.booleans(),
        "language": st.none() | TEXT,
        "charset": TEXT,
        "charset_guessed": st.booleans(),
    }
)
TAGS = st.builds(
    Tags,
    st.none() | TEXT,
    st.none() | UNIT,
    TEXT,
    st.lists(CLASSIFICATION, max_size=2),
    st.lists(CLUSTER, max_size=1),
    FACTS,
)
ORIGIN = st.builds(Origin, TEXT, st.integers(0, 99), st.integers(0, 2**62), st.none() | st.integers(-(2**62), 2**62))
OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMESTAMP = st.none() | st.datetimes(timezones=OFFSETS)
METADATA = st.none() | st.dictionaries(TEXT, JSON, max_size=3)


@given(TAGS, ORIGIN, TEXT, TEXT, METADATA, TIMESTAMP)
def test_a_result_is_written_as_its_model_writes_it(
    tags: Tags, origin: Origin, identity: str, text: str, metadata: dict[str, Any] | None, timestamp: datetime | None
) -> None:
    """It is a valid TaggedMessage, and holds what that writes: no more, no less, nothing in another form."""
    record = Record(origin.topic, origin.partition, origin.offset, origin.timestamp_ms, None, b"")
    message = Message(identity, origin, text, metadata=metadata, timestamp=timestamp)
    written = result(FORM, record, message, tags, NOW).value
    assert written is not None
    model = TaggedMessage.model_validate_json(written)
    assert from_json(model.model_dump_json()) == from_json(written)


@pytest.mark.parametrize("labels", [("one", "two"), ("one",)])
def test_results_of_the_stages_are_valid(labels: tuple[str, ...]) -> None:
    """From records to results: what the stages put into them is what the contract asks for."""
    settings = load(None, ["input.topics=[in]"], {})
    tagging = app.make_tagging(settings, FakeEngine(labels=labels), NoClusters(), Metrics(CollectorRegistry()))
    value = b'{"text": "a few words", "timestamp": 1.5, "language": "en", "metadata": {"a": [1, null]}}'
    records = tuple(Record("in", 1, offset, 1_700_000_000_123, None, value) for offset in range(3))
    (prepared,) = tagging.prepare(Batch(records, {Partition("in", 1): 3}))
    outputs = [output for (output,) in tagging.route(tagging.infer(prepared)).outputs]
    for offset, output in enumerate(outputs):
        assert output.value is not None
        message = TaggedMessage.model_validate_json(output.value)
        assert (message.source.partition, message.source.offset) == (1, offset)
        assert message.model_dump_json().encode() == output.value
        assert message.classifications[0].labels == [message.label]
        assert (message.text_facts.tokens, message.text_facts.language) == (3, "en")
