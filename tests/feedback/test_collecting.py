"""Corrections to a labelled set, with the topics in memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from worker.errors import Stop
from worker.feedback.collecting import Absence, Collected, collect
from worker.text.decode import Decoder, TopicFormat
from worker.types import Partition, Record

MAIL = b"From: a@b.c\r\nContent-Type: text/plain; charset=latin-1\r\n\r\nG\xfcnstig"
NULL: bytes | None = None


class Topics:
    """What the worker reads, by offset; remembers what was asked for."""

    def __init__(self, **values: dict[int, bytes | Absence | None]) -> None:
        self._values = values
        self.asked: list[int] = []

    def find(self, partition: Partition, offsets: Sequence[int]) -> Iterator[tuple[int, Record | Absence]]:
        self.asked += offsets
        for offset in offsets:
            held = self._values.get(partition.topic, {}).get(offset, "gone")
            yield offset, held if isinstance(held, str) else Record(*partition, offset, 1000 + offset, None, held)


def _feedback(*rows: dict[str, Any] | bytes) -> list[list[Record]]:
    """A record each; the time goes on by a second."""
    values = [row if isinstance(row, bytes) else json.dumps({"by": "ann", **row}).encode() for row in rows]
    return [[Record("feedback", 0, offset, 1000 * offset, None, value)] for offset, value in enumerate(values)]


def _at(offset: int, topic: str = "comments", **more: Any) -> dict[str, Any]:
    return {"topic": topic, "partition": 0, "offset": offset, **more}


def _collect(
    tmp_path: Path, topics: Topics, *rows: dict[str, Any] | bytes, decoder: Decoder | None = None
) -> Collected:
    return collect(
        _feedback(*rows),
        out=tmp_path / "set.jsonl",
        find=topics.find,
        decode=decoder or Decoder(max_bytes=1000, prepare=str.upper),
        max_bytes=1000,
    )


def _rows(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "set.jsonl").read_text(encoding="utf-8").splitlines()]


def test_originals_become_labelled_texts(tmp_path: Path) -> None:
    """Read as the worker reads them, formats and field names included; unprepared, for the training prepares."""
    topics = Topics(comments={3: b'{"body": "Hello"}'}, mails={4: MAIL})
    decoder = Decoder(
        max_bytes=1000,
        default=TopicFormat(fields={"text": "body", "id": None}),
        topics={"mails": TopicFormat("mail")},
        prepare=str.upper,
    )
    found = _collect(
        tmp_path,
        topics,
        {"source": _at(3), "labels": ["ham"]},
        {"source": _at(4, "mails"), "labels": ["spam"]},
        {"text": "given", "labels": ["spam"]},
        decoder=decoder,
    )
    assert [(row["text"], row["label"]) for row in _rows(tmp_path)] == [
        ("Hello", "ham"),
        ("Günstig", "spam"),
        ("given", "spam"),
    ]
    assert _rows(tmp_path)[0]["source"] == _at(3)
    assert found == Collected(collected=3, read=3)


def test_every_loss_is_counted_by_its_reason(tmp_path: Path) -> None:
    """Nothing is passed over in silence."""
    lost: dict[int, bytes | Absence | None] = {1: "compacted", 2: "unknown_topic", 3: "beyond_end"}
    topics = Topics(comments={**lost, 4: b"not json", 5: NULL, 6: b'{"text": " "}', 7: b'{"text": "fine"}'})
    rows = [{"source": _at(offset), "labels": ["spam"]} for offset in range(8)]
    found = _collect(tmp_path, topics, *rows, {"source": _at(7), "labels": ["ham"]}, b"{", b"[]", b"[]")
    assert found.absent == Counter(gone=1, compacted=1, unknown_topic=1, beyond_end=1)
    assert found.undecodable == Counter(invalid_json=1, tombstone=1, blank_text=1)
    assert found.unreadable == Counter(invalid_json=1, wrong_fields=2)
    assert found.first_unreadable == "feedback[0]@9: the value is not JSON"
    assert (found.read, found.collected, found.superseded) == (12, 1, 1)
    assert [(row["text"], row["label"]) for row in _rows(tmp_path)] == [("fine", "ham")]


def test_another_message_at_the_place_is_not_taken_for_it(tmp_path: Path) -> None:
    """A topic that was deleted and made again has other messages at its offsets; their timestamps tell."""
    topics = Topics(comments={1: b'{"text": "one"}', 2: b'{"text": "two"}'})
    stamps = [datetime.fromtimestamp(ms / 1000, UTC).isoformat() for ms in (1001, 5000)]
    rows = [{"source": _at(i + 1, timestamp=stamp), "labels": ["spam"]} for i, stamp in enumerate(stamps)]
    found = _collect(tmp_path, topics, *rows)
    assert found.absent == Counter(another_message=1)
    assert [row["text"] for row in _rows(tmp_path)] == ["one"]


def test_what_was_collected_before_stays(tmp_path: Path) -> None:
    """Also when retention has taken the original and the correction since; later corrections of it still count."""
    _collect(tmp_path, Topics(comments={1: b'{"text": "one"}'}), {"source": _at(1), "labels": ["spam"]})
    empty = Topics()
    found = _collect(tmp_path, empty, {"text": "two", "labels": ["ham"]})
    assert (found.collected, found.before, len(found.absent)) == (2, 1, 0)
    later = {"source": _at(1), "labels": ["ham"], "at": "2030-01-01T00:00:00Z"}
    found = _collect(tmp_path, empty, later)
    assert (found.collected, found.before, found.superseded) == (2, 2, 1)
    assert [(row["text"], row["label"]) for row in _rows(tmp_path)] == [("two", "ham"), ("one", "ham")]
    assert empty.asked == []


def test_collecting_twice_changes_nothing(tmp_path: Path) -> None:
    """Not a byte, and nothing is looked up again."""
    topics = Topics(comments={1: b'{"text": "one"}'})
    rows = ({"source": _at(1), "labels": ["spam"]}, {"source": _at(1), "labels": ["ham"]}, {"text": "x", "labels": []})
    _collect(tmp_path, topics, *rows)
    first = (tmp_path / "set.jsonl").read_bytes()
    found = _collect(tmp_path, topics, *rows)
    assert (tmp_path / "set.jsonl").read_bytes() == first
    assert (found.collected, found.before, topics.asked) == (2, 2, [1])


def test_a_broker_that_goes_away_leaves_the_set_as_it_was(tmp_path: Path) -> None:
    """Whole or not at all."""
    _collect(tmp_path, Topics(), {"text": "x", "labels": ["ham"]})
    first = (tmp_path / "set.jsonl").read_bytes()

    def broken(partition: Partition, offsets: Sequence[int]) -> Iterator[tuple[int, Record | Absence]]:
        yield offsets[0], Record(*partition, offsets[0], None, None, b'{"text": "y"}')
        raise Stop("gone")

    rows = _feedback(*({"source": _at(offset), "labels": ["ham"]} for offset in (1, 2)))
    with pytest.raises(Stop):
        collect(rows, out=tmp_path / "set.jsonl", find=broken, decode=Decoder(max_bytes=9), max_bytes=9)
    assert (tmp_path / "set.jsonl").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["set.jsonl"]
