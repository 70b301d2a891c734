"""The JSON Schema files are what the models say."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from schemas import SourceRef, TaggedMessage, TextFacts
from schemas.generate import FOLDER, generated


@pytest.mark.parametrize("name", sorted(generated()))
def test_schema_files_have_not_drifted(name: str) -> None:
    """Each file equals what `python -m schemas.generate` would write."""
    assert (FOLDER / name).read_text(encoding="utf-8") == generated()[name]


def test_no_file_without_a_model() -> None:
    """A schema file that no model stands behind is not left lying about."""
    assert {path.name for path in FOLDER.glob("*.schema.json")} == set(generated())


def test_every_required_field_is_written() -> None:
    """What the output schema requires is in the JSON of a result that has nothing to say."""
    result = TaggedMessage(
        id="in-0-1",
        source=SourceRef(topic="in", partition=0, offset=1),
        label=None,
        score=None,
        route="tagged",
        classifications=[],
        clusters=[],
        text_facts=TextFacts(tokens=1),
        processed_at=datetime(2025, 1, 1, tzinfo=UTC),
    )
    schema = json.loads(generated()["tagged-message.v1.schema.json"])
    written = json.loads(result.model_dump_json())
    assert set(schema["required"]) == set(written)
    assert set(schema["$defs"]["TextFacts"]["required"]) == set(written["text_facts"])
    assert set(schema["$defs"]["SourceRef"]["required"]) == set(written["source"])


def test_readers_survive_new_output_fields() -> None:
    """The output schema does not forbid fields that a later version adds."""
    assert '"additionalProperties": false' not in generated()["tagged-message.v1.schema.json"]
