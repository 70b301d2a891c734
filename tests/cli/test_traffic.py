"""Lines in, lines out: `produce` and `tail` without a broker."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import headers
from worker.cli.traffic import human_line, json_line, message, paced
from worker.types import Header, Record

RESULT = {
    "schema_version": 1,
    "id": "comments-0-7",
    "label": "spam",
    "score": 0.98765,
    "clusters": [{"table": "default", "id": 12, "name": "credit, money", "similarity": 0.5, "version": 3}],
}


def _record(value: bytes | None, *told: Header) -> Record:
    return Record("tagged", 1, 5, 1000, None, value, told)


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        pytest.param(b"hello", None, b'{"text":"hello"}', id="plain"),
        pytest.param(b"[1, 2]", None, b'{"text":"[1, 2]"}', id="JSON that is no object"),
        pytest.param(b'{"text": "x", "user": 7}', b"7", b'{"text": "x", "user": 7}', id="object, as it is"),
        pytest.param(b'{"text": "x"}', None, b'{"text": "x"}', id="object without the key field"),
    ],
)
def test_a_line_becomes_a_message(line: bytes, key: bytes | None, value: bytes) -> None:
    """An object goes as it is, anything else as the text of one."""
    assert message(line, "user") == (key, value)


@given(st.binary())
def test_every_line_becomes_json(line: bytes) -> None:
    """Whatever a line holds, what is sent is a JSON object."""
    assert isinstance(json.loads(message(line)[1].decode("utf-8-sig")), dict)


def test_without_a_rate_nothing_waits() -> None:
    """Pacing changes neither the items nor their order."""
    assert list(paced(range(3), None)) == list(paced(range(3), 1e9)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        pytest.param(
            _record(json.dumps(RESULT).encode()),
            ["spam", "0.988", "tagged", "12 credit, money", "comments-0-7"],
            id="tagged",
        ),
        pytest.param(
            _record(json.dumps(RESULT | {"label": None, "score": None, "clusters": []}).encode()),
            ["-", "tagged", "comments-0-7"],
            id="without a label",
        ),
        pytest.param(
            _record(
                b"secret",
                Header(headers.ID, b"x-1"),
                Header(headers.LABEL, b"ham"),
                Header(headers.SCORE, b"0.51234"),
                Header(headers.CLUSTER, b"3"),
            ),
            ["ham", "0.512", "tagged", "3", "x-1"],
            id="original",
        ),
        pytest.param(
            _record(
                b"secret",
                Header(headers.ERROR_REASON, b"not_utf8"),
                Header(headers.SOURCE_TOPIC, b"comments"),
                Header(headers.SOURCE_PARTITION, b"0"),
                Header(headers.SOURCE_OFFSET, b"9"),
            ),
            ["DEAD", "not_utf8", "comments[0]@9"],
            id="dead letter",
        ),
        pytest.param(_record(None), ["tagged[1]@5"], id="null"),
    ],
)
def test_a_line_for_people(record: Record, words: list[str]) -> None:
    """Label, score, topic, cluster and id in at most 80 columns, and never the text."""
    line = human_line(record)
    assert [word for word in words if word not in line] == []
    assert "secret" not in line
    assert len(line) <= 80


@given(st.text(), st.text())
def test_a_line_for_people_cannot_drive_the_terminal(label: str, name: str) -> None:
    """Whatever is in labels and ids, the line is printable and fits."""
    line = human_line(_record(json.dumps(RESULT | {"label": label, "id": name}).encode()))
    assert line.isprintable()
    assert len(line) <= 80


def test_a_line_for_programs_is_one_object() -> None:
    """Coordinates, headers, and the message as JSON if it is."""
    told = json.loads(json_line(_record(b'{"id": 1}', Header("a", None))))
    assert (told["topic"], told["partition"], told["offset"]) == ("tagged", 1, 5)
    assert (told["value"], told["headers"]) == ({"id": 1}, [["a", None]])
    assert json.loads(json_line(_record(b"\xff\n")))["value"] == "\\xff\n"
