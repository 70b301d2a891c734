"""A change that breaks those who wrote against the last release is refused.

Copy the generated files to schemas/released/ when a version is released, never to make this test pass.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from schemas.generate import FOLDER, generated

RELEASED = sorted((FOLDER / "released").glob("*.schema.json"))
PROSE = ("title", "description", "default", "examples")  # of a field: no reader or writer depends on them

Schema = dict[str, Any]


def breaking_changes(released: Schema, current: Schema, *, written: bool) -> list[str]:
    """What breaks: removed, renamed, retyped fields; of what we read, more required; of what we write, less."""
    found: list[str] = []
    now = dict(_objects(current))
    for name, old in _objects(released):
        if name not in now:
            found.append(f"{name} is gone")
            continue
        found += [f"{name}.{change}" for change in _field_changes(old, now[name])]
        before, after = set(old.get("required", ())), set(now[name].get("required", ()))
        found += [f"{name}.{field} is no longer required" for field in sorted(before - after) if written]
        found += [f"{name}.{field} is newly required" for field in sorted(after - before) if not written]
    return found


def _objects(schema: Schema) -> Iterator[tuple[str, Schema]]:
    yield "message", schema
    yield from schema.get("$defs", {}).items()


def _field_changes(old: Schema, new: Schema) -> Iterator[str]:
    fields = new.get("properties", {})
    for field, was in old.get("properties", {}).items():
        if field not in fields:
            yield f"{field} is gone"
        elif _type(was) != _type(fields[field]):
            yield f"{field} has another type, range or set of values"
    if (old.get("type"), old.get("enum")) != (new.get("type"), new.get("enum")):
        yield "itself has another type or set of values"
    if old.get("additionalProperties") != new.get("additionalProperties"):
        yield "itself takes other fields than before"


def _type(field: Any) -> Any:
    """A field's schema without prose; alternatives and values of a set in a fixed order."""
    if isinstance(field, list):
        return sorted((_type(item) for item in field), key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(field, dict):
        return {key: _type(value) for key, value in field.items() if key not in PROSE}
    return field


def load(name: str) -> Schema:
    schema: Schema = json.loads((FOLDER / "released" / name).read_text(encoding="utf-8"))
    return schema


@pytest.mark.parametrize("name", [path.name for path in RELEASED])
def test_released_readers_and_writers_go_on(name: str) -> None:
    """No change since the release breaks who reads our results or writes our input."""
    current = json.loads(generated()[name])
    assert breaking_changes(load(name), current, written=name.startswith("tagged")) == []


def test_every_contract_has_a_release() -> None:
    """A contract without a released copy would never be compared."""
    assert {path.name for path in RELEASED} == set(generated())


def _drop_score(schema: Schema) -> None:
    del schema["properties"]["score"]


def _rename_nested(schema: Schema) -> None:
    fields = schema["$defs"]["TextFacts"]["properties"]
    fields["token_count"] = fields.pop("tokens")


def _retype(schema: Schema) -> None:
    schema["properties"]["id"]["type"] = "integer"


def _relax(schema: Schema) -> None:
    schema["required"].remove("route")


def _widen_enum(schema: Schema) -> None:
    schema["$defs"]["Classification"]["properties"]["kind"]["enum"].append("regression")


def _next_version(schema: Schema) -> None:
    schema["properties"]["schema_version"]["const"] = 2


def _drop_object(schema: Schema) -> None:
    del schema["$defs"]["ClusterAssignment"]


def _close(schema: Schema) -> None:
    schema["additionalProperties"] = False


OUTPUT_BREAKS = [_drop_score, _rename_nested, _retype, _relax, _widen_enum, _next_version, _drop_object, _close]


@pytest.mark.parametrize("change", OUTPUT_BREAKS, ids=lambda change: change.__name__.strip("_"))
def test_breaking_output_change_is_refused(change: Callable[[Schema], None]) -> None:
    """Each kind of change that a consumer would stumble over is found."""
    released = load("tagged-message.v1.schema.json")
    changed = copy.deepcopy(released)
    change(changed)
    assert breaking_changes(released, changed, written=True)


def test_breaking_input_change_is_refused() -> None:
    """Producers must not be asked for a field that was optional, nor be refused a type that was taken."""
    released = load("text-message.v1.schema.json")
    stricter, narrower = copy.deepcopy(released), copy.deepcopy(released)
    stricter["required"].append("id")
    narrower["properties"]["id"]["anyOf"].pop(0)
    assert breaking_changes(released, stricter, written=False) == ["message.id is newly required"]
    assert breaking_changes(released, narrower, written=False)


def test_additions_and_prose_are_free() -> None:
    """A new optional field, a new object, another order or another description breaks nobody."""
    released = load("tagged-message.v1.schema.json")
    changed = copy.deepcopy(released)
    changed["properties"]["shard"] = {"type": "integer"}
    changed["required"].append("shard")
    changed["$defs"]["Shard"] = {"type": "object"}
    changed["properties"]["score"]["anyOf"].reverse()
    changed["properties"]["id"]["description"] = "Another sentence."
    assert breaking_changes(released, changed, written=True) == []
