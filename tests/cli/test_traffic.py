"""Lines in, lines out: `produce` and `tail` without a broker."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from schemas import headers
from worker.cli import traffic
from worker.cli.traffic import human_line, json_line, mails, message, messages, paced, verdict
from worker.errors import SettingsError
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


def test_a_file_is_sent_line_by_line() -> None:
    """Line ends and blank lines are not sent; raw lines go as they are."""
    lines = [b"one\r\n", b" \n", b"two"]
    assert list(messages(lines, None, raw=False)) == [(None, b'{"text":"one"}'), (None, b'{"text":"two"}')]
    assert list(messages(lines, None, raw=True)) == [(None, b"one"), (None, b"two")]


def test_an_mbox_is_sent_mail_by_mail() -> None:
    """Lines of a mail stay together, its blank ones too."""
    mbox = [b"From a  Mon\n", b"Subject: 1\n", b"\n", b"x\n", b"\n", b"From b  Tue\n", b"Subject: 2\n", b"\n", b"y\n"]
    assert [value.strip() for _, value in mails(mbox, 1000)] == [b"Subject: 1\n\nx", b"Subject: 2\n\ny"]


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


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(_record(json.dumps(RESULT).encode()), "spam", id="tagged"),
        pytest.param(_record(json.dumps(RESULT | {"label": None}).encode()), "-", id="without a label"),
        pytest.param(_record(b"a mail", Header(headers.LABEL, b"ham")), "ham", id="original"),
        pytest.param(_record(b'{"label": "of the sender"}', Header(headers.LABEL, b"ham")), "ham", id="original, JSON"),
        pytest.param(_record(b"\xff", Header(headers.ERROR_REASON, b"not_utf8")), "not_utf8", id="dead letter"),
        pytest.param(_record(None), "-", id="null"),
    ],
)
def test_records_are_counted_by_what_became_of_them(record: Record, expected: str) -> None:
    """`tail --count` counts labels, and dead letters by their reason."""
    assert verdict(record) == expected


def test_a_count_that_would_never_be_shown_is_refused() -> None:
    """`tail --count` without an end says which options give it one."""
    ran = CliRunner().invoke(traffic.tail, ["--count"])
    assert isinstance(ran.exception, SettingsError)
    assert "--until end" in str(ran.exception)
