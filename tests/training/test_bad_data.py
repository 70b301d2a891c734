"""Labelled data that cannot be used: one line that says what to do, before anything long."""

from __future__ import annotations

import gzip
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from worker.errors import SettingsError
from worker.training import lines
from worker.training.columns import Columns
from worker.training.corpus import Corpus
from worker.training.reading import read_corpus, read_examples
from worker.training.tally import Tally

GOOD = "text,label,split\none,a,train\ntwo,a,valid\nthree,b,train\nfour,b,valid\n"


def read(path: Path, content: str | bytes | None = None, **columns: Any) -> Corpus:
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_corpus([path], columns=Columns(**columns))


def refusal(path: Path, content: str | bytes | None = None, **columns: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        read(path, content, **columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"text": "txt"}, "has no column txt for the text; did you mean text?"),
        ({"label": "LABEL"}, "has no column LABEL for the label; did you mean label?"),
        ({"split": "fold"}, "has no column fold for the split; it has text, label, split"),
        ({"encoding": "utf-9"}, "the encoding utf-9 is unknown"),
        ({"encoding": "utf-16"}, "files in utf-16 are not read: convert them"),
        ({"encoding": "hex"}, "the encoding hex is unknown"),
    ],
    ids=["near", "case", "none near", "unknown charset", "wide charset", "no charset"],
)
def test_wrong_options(tmp_path: Path, columns: dict[str, Any], says: str) -> None:
    """The nearest column that is there, or which there are."""
    assert says in refusal(tmp_path / "data.csv", GOOD, **columns)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("data.csv", "texts,label\na,b\n", "has no text column (text, message, body"),
        ("data.csv", "ham,hello you\nspam,win a prize\n", "does not look like a header"),
        ("data.csv", "", "has no row that can be read"),
        ("data.csv", "text,label,text\n", "two columns of one name"),
        ("data.csv", GOOD.replace("\n", "\r"), "has no line feeds"),
        ("data.csv", GOOD.encode("utf-16"), "is UTF-16: save it as UTF-8"),
        ("data.csv", b"PK\3\4\0\0\0\n", "is not text; export it"),
        ("data.jsonl", '[{"text": "a"}]', "is one JSON array: write one object a line"),
        ("data.json", '{\n"text": "a"}', "line 1 is not a JSON object; is it what its ending says?"),
        ("data.csv.gz", GOOD, "its compressed data is damaged"),
        ("data.csv.gz", gzip.compress(GOOD.encode() * 9, mtime=0)[:40], "its compressed data is damaged"),
        ("data.csv.bz2", GOOD, "unpack it, or use .gz"),
        ("data.parquet", GOOD, "is damaged or no Parquet file"),
        ("data.parquet.gz", GOOD, "undo the .gz with gunzip"),
        ("data.xlsx", GOOD, "is of no known kind; read are .jsonl"),
        ("data.csv", GOOD.replace("valid", "later"), "row 2: the split is 'later'; it must be train, valid or test"),
        ("data.csv", GOOD.replace("valid", "my secret"), "row 2: the split is another value"),
        ("data.csv", "text,label\n ,a\nx,\n", "no row can be used (1 empty_text, 1 no_label)"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: str | bytes, says: str) -> None:
    """Each says what is wrong with it, and never what its rows hold."""
    message = refusal(tmp_path / name, content)
    assert says in message
    assert not re.search("prize|secret", message)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("a,x,train\nb,x,train\nc,x,valid\n", "all 3 examples have one and the same label"),
        ("a,x,test\nb,y,test\n", "no example is in the split train"),
        ("a,x,train\nb,x,train\nc,y,train\nd,,valid\ne,x,test\n", "the label 'y' has only one example and needs 2"),
        ("a,x,train\nb,x,train\nc,y,test\nd,y,test\ne,x,valid\n", "the label 'y' has no example in the split train"),
        ("a,k,train\nb,l,train\nc,m,train\nd,n,train\n", "4 labels have only one example, and each needs 2 or more"),
    ],
    ids=["one label", "no train", "one example", "none to train on", "texts as labels"],
)
def test_too_little_to_learn(tmp_path: Path, rows: str, says: str) -> None:
    """One label only, a label with one example, or with none to train on."""
    assert says in refusal(tmp_path / "data.csv", "text,label,split\n" + rows)


@pytest.mark.parametrize(
    ("labels", "says"),
    [("[]", "all 2 examples have no label at all"), ('["x"]', "all 2 examples have the same labels")],
)
def test_labels_that_part_nothing(tmp_path: Path, labels: str, says: str) -> None:
    """Multi-label data may have a single label, if not every example has it."""
    rows = "".join(f'{{"text": "{text}", "label": {labels}, "split": "{split}"}}\n' for text, split in ("at", "bv"))
    rows = rows.replace('"t"', '"train"').replace('"v"', '"valid"')
    assert says in refusal(tmp_path / "data.jsonl", rows)


def test_no_data(tmp_path: Path) -> None:
    """A path that is not there, an empty folder, no path at all."""
    assert "does not exist" in refusal(tmp_path / "data.csv")
    assert "holds no mails; put them into one folder per label" in refusal(tmp_path)
    with pytest.raises(SettingsError, match="no data is named"):
        read_corpus([], columns=Columns())


def test_tables_and_folders_mixed(tmp_path: Path) -> None:
    """Nothing is passed over in silence."""
    (tmp_path / "spam").mkdir()
    (tmp_path / "data.csv").write_text(GOOD)
    assert "holds folders beside data.csv" in refusal(tmp_path)


def test_all_files_are_checked_before_the_first_row(tmp_path: Path) -> None:
    """The last of many files has no such column: said before any is read."""
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(GOOD if name < "b" else "label\nx\n")
    with pytest.raises(SettingsError, match=r"b\.csv has no text column"):
        read_examples([tmp_path], columns=Columns(), tally=Tally())


def test_parquet_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra that brings it is named."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'tagstream[train]'" in refusal(tmp_path / "data.parquet", b"PAR1")


def test_a_line_without_end_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: of a line that is too long nothing is kept, and the rows behind it are read."""
    monkeypatch.setattr(lines, "MAX_ROW_BYTES", 40)
    corpus = read(tmp_path / "data.csv", GOOD.replace("two", "two" * 50) + "five,a,valid\n")
    assert corpus.dropped == {"unreadable": 1}
    assert len(corpus.train + corpus.valid) == 4
