"""`tagstream clusters` without a broker: what is refused, which texts are read, how records look as lines."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.cli import main as cli
from worker.cli.clusterlines import size_line, topic_line
from worker.cli.clustertexts import Found, Reading, labels_of, read_texts
from worker.clusters.report import Size
from worker.errors import SettingsError

USUAL = Reading(None, None, most=100, seed=0)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tagstream", "clusters", *words])
        return cli.main(), capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("rename", "1"), "give either a NAME or --off"),
        (("rename", "1", "x", "--off"), "give either a NAME or --off"),
        (("rename", "1", "a\x1b[31m"), "1 to 100 characters"),
        (("rename", "1", "x" * 101), "1 to 100 characters"),
        (("merge", "3", "3"), "cannot be merged with itself"),
        (("fit", "x.jsonl", "--k", "1"), "no number of clusters: write one from 2 on, or auto"),
        (("evaluate", "x.jsonl", "--map", "map.pdf"), "a map is .png or .html"),
        (("evaluate", "x.jsonl", "--map", "nowhere/map.png"), "no such directory"),
    ],
)
def test_a_wrong_call_is_told_before_any_work(call, words, line):
    """One line, exit code 2; no broker is asked."""
    code, err = call(*words)
    assert (code, err.count("\n")) == (2, 1)
    assert line in err


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_texts_come_with_labels_where_there_are_some(tmp_path):
    """From the usual columns, or those that are named; of a text file its lines."""
    rows = [{"text": "one", "label": "a"}, {"text": " ", "label": "a"}, {"text": "two", "label": ["b", "c"]}]
    file = write(tmp_path / "x.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert read_texts(file, USUAL) == [Found("one", "a"), Found("two", "b|c")]
    table = write(tmp_path / "x.csv", "Body,Intent,more\nthree,d,e\n")
    assert read_texts(table, USUAL) == [Found("three", "d")]
    assert read_texts(table, Reading("more", "Body", 100, 0)) == [Found("e", "three")]
    assert read_texts(write(tmp_path / "x.txt", "four\n\nfünf\n"), USUAL) == [Found("four", None), Found("fünf", None)]
    (tmp_path / "y.jsonl.gz").write_bytes(gzip.compress(b'{"text": "six"}\n'))
    assert read_texts(tmp_path / "y.jsonl.gz", USUAL) == [Found("six", None)]


def test_labels_are_for_all_texts_or_for_none():
    """A comparison with half of them would be about something else."""
    assert labels_of([Found("x", "a"), Found("y", "b")]) == ["a", "b"]
    assert labels_of([Found("x", "a"), Found("y", None)]) is None


def test_a_sample_is_bounded_and_the_same_again(tmp_path):
    """Drawn from the whole file."""
    file = write(tmp_path / "x.txt", "".join(f"{number}\n" for number in range(1000)))
    first = read_texts(file, Reading(None, None, 50, 3))
    assert len(set(first)) == 50
    assert max(int(found.text) for found in first) > 500
    assert read_texts(file, Reading(None, None, 50, 3)) == first


@pytest.mark.parametrize(
    ("name", "content", "reading", "line"),
    [
        ("x.jsonl", '{"subject": "x"}\n', USUAL, "no column of texts"),
        ("x.jsonl", '{"text": "x"}\n', Reading("body", None, 9, 0), "no column body"),
        ("x.txt", "\n \n", USUAL, "holds no text"),
        ("gone", None, USUAL, "is no file"),
    ],
)
def test_a_file_without_texts_is_refused(tmp_path, name, content, reading, line):
    """With what to do, and no word of what it holds."""
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises(SettingsError, match=line):
        read_texts(tmp_path / name, reading)


def test_a_cluster_is_a_line():
    """Its name cannot spoil a terminal."""
    size = Size(12, "lost\x1b card", named=False, pinned=True, seen=1234, share=0.5, trend="growing", last_seen_ms=0)
    assert size_line(size) == "   12      1,234   50.0%  ↑ growing    1970-01-01 00:00  lost? card [pinned]"


COMMON = {"schema_version": 1, "table": "default"}


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        (
            b"default/3",
            {"id": 3, "version": 7, "seen": 1200, "name": "card", "pinned": True, "centre": "A" * 2048},
            "cluster  default 3 v7  1,200 samples  card [pinned]",
        ),
        (
            b"default",
            {"version": 7, "ids": [1, 3], "next_id": 4, "position": 2000, "at": "2026-11-01T08:00:00Z"},
            "version  default v7  2 clusters, samples before 2,000, 2026-11-01T08:00:00Z",
        ),
        (
            b"default",
            {"version": 7, "kind": "split", "parents": [1], "children": [1, 3], "reason": "it held\n two"},
            "event    default v7  split [1] → [1, 3]: it held? two",
        ),
        (None, {"embedding": "AAAA", "words": ["red", "card"]}, "sample   default  red, card"),
        (b"order", {"kind": "merge", "ids": [1, 3], "name": None}, "order    default  merge [1, 3]"),
    ],
)
def test_records_of_the_cluster_topics_are_lines(key, value, line):
    """Without their vectors, for which there is --json."""
    assert topic_line(key, COMMON | value) == line


def test_an_id_that_ended_is_a_line():
    """A tombstone; and all other records are for others to show."""
    assert topic_line(b"default/4", None) == "ended    default 4"
    assert topic_line(b"default", None) is None
    assert topic_line(None, COMMON | {"label": "x"}) is None
    assert topic_line(None, ["x"]) is None
