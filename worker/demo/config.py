"""The settings of the demo's worker, as a file that the user can look at and run again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from worker.demo.messages import MAX_BYTES

REVIEW_BELOW = 0.6
CLUSTERS = 12
WARMUP = 1500
HEADER = """# Written by `tagstream demo`. Run the same worker yourself:
#   tagstream run --config {path}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the demo happens. `prefix` keeps its topics apart from others on a Kafka that is not its own."""

    bootstrap: str
    prefix: str
    model: Path
    http_port: int
    texts: int


def write(path: Path, place: Place) -> None:
    """Write the settings, whole or not at all."""
    content = HEADER.format(path=path) + yaml.safe_dump(as_settings(place), sort_keys=False)
    scratch = path.with_suffix(".new")
    scratch.write_text(content, encoding="utf-8")
    scratch.rename(path)


def as_settings(place: Place) -> dict[str, Any]:
    """Only what differs from the defaults."""
    prefix = place.prefix
    return {
        "kafka": {"bootstrap": place.bootstrap, "group_id": f"{prefix}workers"},
        "input": {"topics": [f"{prefix}texts"], "tombstones": "dead_letter"},
        "output": {"topic": f"{prefix}tagged", "include_text": True},
        "dead_letter": {"topic": f"{prefix}dead-letters"},
        "text": {"max_bytes": MAX_BYTES},
        "model": {"path": str(place.model), "name": "kind"},
        "clusters": {"k": CLUSTERS, "warmup": max(CLUSTERS, min(WARMUP, place.texts // 4))},
        "policy": {
            "routes": {"product": f"{prefix}products"},
            "review": {"topic": f"{prefix}review", "below": REVIEW_BELOW},
        },
        "http": {"host": "127.0.0.1", "port": place.http_port},
        "logging": {"format": "json"},
    }


def environment(given: Mapping[str, str], *, own_broker: bool) -> dict[str, str]:
    """Settings in the environment are for another worker; only how to log in to the user's own Kafka stays."""
    keep = () if own_broker else ("TAGSTREAM_KAFKA__SSL", "TAGSTREAM_KAFKA__SASL", "TAGSTREAM_KAFKA__SECURITY")
    return {name: value for name, value in given.items() if not name.startswith("TAGSTREAM_") or name.startswith(keep)}


def purposes(place: Place) -> dict[str, str]:
    """Each output topic, and in a few words what is in it."""
    prefix = place.prefix
    return {
        f"{prefix}tagged": "all other kinds",
        f"{prefix}products": "product reviews",
        f"{prefix}review": f"unsure: score below {REVIEW_BELOW:g}",
        f"{prefix}dead-letters": "what could not be tagged",
    }
