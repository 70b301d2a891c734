"""Write the JSON Schema files beside the models they come from: `python -m schemas.generate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from schemas.clusters import ClusterEvent, ClusterHeader, ClusterMap, ClusterOrder, ClusterRecord, ClusterSample
from schemas.messages import SCHEMA_VERSION, Feedback, TaggedMessage, TextMessage

FOLDER = Path(__file__).parent


class _Written(GenerateJsonSchema):
    """Every field of a result is written, null or not: its readers may rely on each."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return True


def generated() -> dict[str, str]:
    """File name → content of every schema: sorted, so that a difference is a change of the contract."""
    documents = {
        "cluster-event": ClusterEvent.model_json_schema(),
        "cluster-header": ClusterHeader.model_json_schema(),
        "cluster-map": ClusterMap.model_json_schema(),
        "cluster-order": ClusterOrder.model_json_schema(),
        "cluster-record": ClusterRecord.model_json_schema(),
        "cluster-sample": ClusterSample.model_json_schema(),
        "feedback": Feedback.model_json_schema(),
        "text-message": TextMessage.model_json_schema(),
        "tagged-message": _open(TaggedMessage.model_json_schema(mode="serialization", schema_generator=_Written)),
    }
    return {f"{name}.v{SCHEMA_VERSION}.schema.json": _file(schema) for name, schema in documents.items()}


def _open(schema: Any) -> Any:
    """The schema without `additionalProperties: false`: a reader that validates must survive a field we add."""
    if isinstance(schema, list):
        return [_open(item) for item in schema]
    if isinstance(schema, dict):
        return {key: _open(item) for key, item in schema.items() if (key, item) != ("additionalProperties", False)}
    return schema


def _file(schema: dict[str, Any]) -> str:
    whole = {"$schema": GenerateJsonSchema.schema_dialect, **schema}
    return json.dumps(whole, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    for name, content in generated().items():
        (FOLDER / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
