"""The labelled set as a file: written whole or not at all, read back as it was, nobody else's."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas import Coordinates
from worker.errors import SettingsError
from worker.feedback.correction import Correction
from worker.feedback.labelled import read_labelled, write_labelled

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
SOURCE = Coordinates(topic="comments", partition=0, offset=5, timestamp=NOON)
ONE = Correction(SOURCE, "one \u2028 two", ("spam",), "ann", NOON, "why")
SEVERAL = Correction(None, "several", ("a", "b"), "bob", None)
NONE = Correction(None, "none", (), "bob", NOON)


def test_the_set_is_json_lines(tmp_path: Path) -> None:
    """Text, label (a list unless it is one), who, when, of which message, and the note if there is one."""
    out = tmp_path / "set.jsonl"
    assert write_labelled(out, [ONE, SEVERAL, NONE]) == 3
    first, second, third = map(json.loads, out.read_text(encoding="utf-8").split("\n")[:3])
    assert first == {
        "text": "one \u2028 two",
        "label": "spam",
        "by": "ann",
        "at": "2030-01-31T12:00:00Z",
        "source": {"topic": "comments", "partition": 0, "offset": 5, "timestamp": "2030-01-31T12:00:00Z"},
        "note": "why",
    }
    assert (second["label"], second["at"], second["source"], third["label"]) == (["a", "b"], None, None, [])
    assert "note" not in second
    assert list(read_labelled(out)) == [ONE, SEVERAL, NONE]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """Whatever the permissions of the file that it replaces."""
    out = tmp_path / "set.jsonl"
    out.touch(mode=0o644)
    write_labelled(out, [ONE])
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    """Whole or not at all, and no half file beside it."""
    out = tmp_path / "set.jsonl"
    write_labelled(out, [ONE])

    def broken() -> Iterator[Correction]:
        yield SEVERAL
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_labelled(out, broken())
    assert list(read_labelled(out)) == [ONE]
    assert list(tmp_path.iterdir()) == [out]


def test_nothing_was_collected_before(tmp_path: Path) -> None:
    """A file that is not there holds nothing."""
    assert list(read_labelled(tmp_path / "set.jsonl")) == []


@pytest.mark.parametrize("content", [b'{"text": "mine", "label": "x"}\n', b"mine\n", b"\xff\n"])
def test_another_file_is_not_written_over(tmp_path: Path, content: bytes) -> None:
    """It is somebody's; the line says where, not what."""
    out = tmp_path / "mine.jsonl"
    out.write_bytes(content)
    with pytest.raises(SettingsError, match=r"mine.jsonl line 1 is not of a file that `feedback collect`") as caught:
        list(read_labelled(out))
    assert '"mine"' not in str(caught.value)


def test_a_directory_is_no_place_for_it(tmp_path: Path) -> None:
    """Said before anything is read from a topic."""
    with pytest.raises(SettingsError, match=r"cannot read .*: Is a directory; choose another --out"):
        list(read_labelled(tmp_path))
