"""What the demo sends: texts as JSON messages, and between them a few that are broken on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import orjson

from worker.demo.texts import Text

MAX_BYTES = 50_000  # the demo's text.max_bytes; no text of it comes near
ROUNDS = 2  # of the broken messages

BROKEN: tuple[bytes | None, ...] = (
    b"this is not JSON",
    b'{"title": "no text field"}',
    b'{"text": "not UTF-8: \xff\xfe\xfa"}',
    None,
    b'{"text": "  \\u200b\\n "}',
    b'{"text": ["not", "a", "string"]}',
    b'{"text": "' + b"far too long " * (MAX_BYTES // 10) + b'"}',
    b'{"text": "half a character: \\ud83d"}',
)


class Outbound(NamedTuple):
    """A record to send."""

    key: bytes
    value: bytes | None


def message(text: Text) -> Outbound:
    """The truth travels in `metadata`, which the worker passes through and never looks at."""
    value = orjson.dumps({"id": text.id, "text": text.text, "metadata": {"truth": text.kind}})
    return Outbound(text.id.encode(), value)


def firehose(texts: Sequence[Text]) -> Iterator[Outbound]:
    """All texts, with the broken messages spread evenly among them."""
    broken = [Outbound(f"broken-{i}".encode(), value) for i, value in enumerate(BROKEN * ROUNDS)]
    every = max(1, len(texts) // (len(broken) + 1))
    for index, text in enumerate(texts, start=1):
        yield message(text)
        if index % every == 0 and broken:
            yield broken.pop()
    yield from broken
