"""One benchmark's outcome for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.bench.targets import Target, as_objects, columns, table


def as_object(machine: Mapping[str, Any], targets: Sequence[Target], figures: Mapping[str, Any]) -> dict[str, Any]:
    return {"machine": machine, "figures": figures, "targets": as_objects(targets)}


def lines(machine: Mapping[str, Any], targets: Sequence[Target], figures: Mapping[str, Any]) -> list[str]:
    """The machine, every figure under its name, and the targets last."""
    blocks = [("machine", machine), *figures.items()]
    told = [line for name, values in blocks for line in (name, *_indented(values), "")]
    return [*told, *(table(targets) if targets else [])]


def _indented(values: Mapping[str, Any]) -> list[str]:
    return [f"  {line}" for line in columns(list(_flat(values)))]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}: ")
        else:
            yield f"{prefix}{name}", f"{value:,.4g}" if isinstance(value, float) else str(value)
