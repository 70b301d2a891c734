"""Clusters as lines on a terminal: a table's rows, and the records of the cluster topics without their vectors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.clusters.report import Size

ARROWS = {"new": "+ new", "growing": "↑ growing", "steady": "→ steady", "shrinking": "↓ shrinking", "quiet": "· quiet"}
HEAD = f"{'id':>5}  {'samples':>9}  {'share':>6}  {'trend':<11}  {'last seen':<16}  name"


def size_line(size: Size) -> str:
    """One row under `HEAD`."""
    trend = ARROWS[size.trend] if size.trend else "-"
    marks = " [pinned]" if size.pinned else ""
    name = plain(size.name or "-")
    return f"{size.id:>5}  {size.seen:>9,}  {size.share:>6.1%}  {trend:<11}  {moment(size.last_seen_ms)}  {name}{marks}"


def moment(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}"


def plain(text: str) -> str:
    """Nothing in it that a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


def topic_line(key: bytes | None, value: Any) -> str | None:
    """A record of the cluster topics in a line; None for any other record. `value` is its JSON, None of a tombstone."""
    name = plain((key or b"").decode("utf-8", "replace"))
    if value is None:
        table, slash, one = name.rpartition("/")
        return f"ended    {table} {one}" if slash and one.isdecimal() else None
    if not isinstance(value, dict) or "table" not in value or "schema_version" not in value:
        return None
    told = _told(value)
    return plain(told) if told else None


def _told(value: Mapping[str, Any]) -> str | None:
    table = value["table"]
    match value:
        case {"centre": _, "id": one, "version": version, "seen": seen}:
            pinned = " [pinned]" if value.get("pinned") else ""
            return f"cluster  {table} {one} v{version}  {seen:,} samples  {value.get('name') or '-'}{pinned}"
        case {"next_id": _, "ids": ids, "version": version, "position": position, "at": at}:
            return f"version  {table} v{version}  {len(ids)} clusters, samples before {position:,}, {at}"
        case {"parents": parents, "children": children, "kind": kind, "version": version}:
            return f"event    {table} v{version}  {kind} {parents} → {children}: {value.get('reason', '')}"
        case {"embedding": _}:
            return f"sample   {table}  {', '.join(value.get('words') or ['-'])}"
        case {"kind": kind, "ids": ids}:
            return f"order    {table}  {kind} {ids} {value.get('name') or ''}".rstrip()
    return None
