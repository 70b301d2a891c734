"""Reading labelled data: every format gives the same corpus, and what is left out is counted."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.training.columns import Columns
from worker.training.corpus import Corpus, Example
from worker.training.reading import read_corpus, read_examples
from worker.training.tally import Tally

Rows = Sequence[dict[str, Any]]
Write = Callable[[Path, Rows], Path]

PLAIN: Rows = [
    {"text": f"{word} {'buy' if label == 'spam' else 'hello'}", "label": label, "split": split}
    for split in ("train", "valid", "test")
    for word in (f"{split} one", f"{split} zwei, „ü“", f'{split} "three"\tin\nlines')
    for label in ("ham", "spam")
]


def write_json(path: Path, rows: Rows) -> Path:
    path = path.with_suffix(".jsonl")
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Rows, *, ending: str = ".csv", delimiter: str = ",") -> Path:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    path = path.with_suffix(ending)
    path.write_bytes(out.getvalue().encode("utf-8"))
    return path


def write_parquet(path: Path, rows: Rows) -> Path:
    path = path.with_suffix(".parquet")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path


def write_gzip(path: Path, rows: Rows) -> Path:
    plain = write_csv(path, rows)
    path = plain.with_name(plain.name + ".gz")
    path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


def write_marked(path: Path, rows: Rows) -> Path:
    path = write_csv(path, rows)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    return path


WRITERS: dict[str, Write] = {
    "json lines": write_json,
    "csv": write_csv,
    "csv of a spreadsheet": lambda path, rows: write_csv(path, rows, delimiter=";"),
    "csv with a mark": write_marked,
    "csv.gz": write_gzip,
    "tsv": lambda path, rows: write_csv(path, rows, ending=".tsv", delimiter="\t"),
    "parquet": write_parquet,
}


def read(*paths: Path, columns: Columns | None = None, **options: Any) -> Corpus:
    return read_corpus(paths, columns=columns or Columns(), **options)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_every_format_gives_the_same_corpus(file: Path, write: Write) -> None:
    """Texts with commas, quotes, tabs and line ends come out as they were, in the splits that the rows name."""
    corpus = read(write(file, PLAIN))
    assert {e.text for split in (corpus.train, corpus.valid, corpus.test) for e in split} == {r["text"] for r in PLAIN}
    assert (len(corpus.train), len(corpus.valid), len(corpus.test)) == (6, 6, 6)
    assert (corpus.kind, corpus.labels, corpus.dropped, corpus.notes) == ("single", ("ham", "spam"), {}, ())
    assert corpus == read(write_json(file, PLAIN[::-1]))


letters = st.characters(codec="utf-8", exclude_categories=["Cc"])
any_rows = st.lists(
    st.fixed_dictionaries({"text": st.text(letters, max_size=5), "label": st.sampled_from(["a", "b", ""])}),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(any_rows)
def test_neither_order_nor_format_changes_the_fingerprint(rows: Rows) -> None:
    """Whatever the texts hold: the same corpus from every format, and the same counts of what was dropped."""
    usable = [{"text": "some text", "label": "c"}, *rows]
    with tempfile.TemporaryDirectory() as folder:
        found = [read(write(Path(folder) / "data", usable), into="test") for write in WRITERS.values()]
        found.append(read(write_json(Path(folder) / "data", usable[::-1]), into="test"))
    assert all(corpus == found[0] for corpus in found)
    assert len(found[0].test) + sum(found[0].dropped.values()) == len(usable)


def test_columns_of_other_names(file: Path) -> None:
    """Usual names are found whatever their case; others are named, with dots into nested objects."""
    rows = [{"Message": row["text"], "Category": row["label"], "Split": row["split"]} for row in PLAIN]
    nested = [{"mail": {"body": row["text"]}, "tags.kind": row["label"], "use": row["split"]} for row in PLAIN]
    columns = Columns(text="mail.body", label="tags.kind", split="use")
    assert read(write_csv(file, rows)) == read(write_json(file, PLAIN))
    assert read(write_json(file, nested), columns=columns) == read(write_json(file, PLAIN))
    write_json(file, nested)
    assert read(write_parquet(file, nested), columns=columns) == read(write_json(file, PLAIN))


def test_a_file_without_splits_is_split_by_hash(file: Path) -> None:
    """Just as one whose split column is passed over."""
    rows = [{"text": f"word {chr(0x4E00 + n)}", "label": "ab"[n % 2], "split": "train"} for n in range(200)]
    by_hash = read(write_json(file, rows), columns=Columns(split=""))
    assert len(by_hash.train) == pytest.approx(140, abs=25)
    assert min(len(by_hash.valid), len(by_hash.test)) > 10
    assert by_hash == read(write_csv(file, [{"text": r["text"], "label": r["label"]} for r in rows]))
    carved = read(write_json(file, rows))
    assert carved.train == by_hash.train
    assert carved.notes == (
        "no row names valid or test as its split: 15 of 100 texts each were taken out of train, by hash",
    )


def test_several_files_and_folders_of_shards_are_one_corpus(file: Path) -> None:
    """However the rows are spread over files, and in whatever formats."""
    shards = file.with_name("shards")
    shards.mkdir()
    write_json(shards / "a", PLAIN[:9])
    write_parquet(shards / "b", PLAIN[9:])
    (shards / "README.md").write_text("not data")
    assert read(shards) == read(write_json(file, PLAIN))
    assert read(write_csv(file, PLAIN[:7]), write_json(file, PLAIN[7:])) == read(shards)


def test_what_is_left_out_is_counted(file: Path) -> None:
    """Empty texts, missing labels, rows that cannot be read; the first of these is named, without its content."""
    lines = [json.dumps(row) for row in PLAIN]
    lines += ['{"text": " \\u200b", "label": "ham"}', '{"label": "ham"}', '{"text": "x", "label": null}']
    lines += ['{"text": "x", "label": NaN}']
    lines += ["{secret", '["text"]', '{"text": 5, "label": "ham"}', '{"text": "x", "label": {"a": 1}}', ""]
    path = file.with_suffix(".jsonl")
    path.write_text("\n".join(lines))
    corpus = read(path)
    assert corpus.dropped == {"empty_text": 2, "no_label": 2, "unreadable": 4}
    assert corpus.notes == (f"the first row that cannot be read: {path} line 23 is not a JSON object",)


def test_a_misquoted_row_costs_only_itself(file: Path) -> None:
    """Rows with a cell too many, or a quote that is not closed well, are counted; with `quotes` off they are plain."""
    path = file.with_suffix(".tsv")
    path.write_text('text\tlabel\nhello\tham\nbye\tham\nwin\tspam\nbuy\tspam\nto\tmany\tcells\n"Who" is it\tham\n')
    assert read(path, into="test").dropped == {"unreadable": 2}
    corpus = read(path, columns=Columns(quotes=False), into="test")
    assert Example('"Who" is it', ("ham",)) in corpus.test
    assert corpus.dropped == {"unreadable": 1}


def test_a_cell_as_long_as_a_mail(file: Path) -> None:
    """Longer than what Python's own reader of CSV takes."""
    text = "word " * 50_000
    assert read(write_csv(file, [{"text": text, "label": "a"}]), into="test").test == (Example(text, ("a",)),)


def test_lines_of_another_charset_among_utf8(file: Path) -> None:
    """Latin-1 rows come out right, and it is said that they were guessed; a named charset is not guessed."""
    path = file.with_suffix(".csv")
    path.write_bytes("text,label\nschön,a\n".encode() + ("größer,b\n" + "über " * 99 + ",b\n").encode("latin-1"))
    corpus = read(path, into="test")
    assert {example.text for example in corpus.test} == {"schön", "größer", "über " * 99}
    assert corpus.notes == (
        "not in the expected charset, read as cp1252: 2 lines; name their charset if that is wrong",
    )
    path.write_bytes("text,label\nпривет,a\nпока,b\n".encode("koi8-r"))
    corpus = read(path, columns=Columns(encoding="koi8-r"), into="test")
    assert {example.text for example in corpus.test} == {"привет", "пока"}
    assert corpus.notes == ()
    assert read(write_marked(file, PLAIN), columns=Columns(encoding="utf-8-sig")) == read(write_json(file, PLAIN))


def test_several_labels_of_a_text(file: Path) -> None:
    """A list makes the data multi-label, an empty one says that none applies; a CSV parts them by a separator."""
    lists = [["rude", "spam"], [], ["spam"], ["rude"], ["spam", "rude", "rude"]]
    rows = [{"text": "abcde"[n], "label": labels, "split": "train"} for n, labels in enumerate(lists)]
    cells = [{**row, "label": "; ".join(row["label"])} for row in rows]
    corpus = read(write_json(file, rows), into="train")
    assert (corpus.kind, corpus.labels) == ("multi", ("rude", "spam"))
    assert {e.text: e.labels for e in corpus.train} == {
        "a": ("rude", "spam"),
        "b": (),
        "c": ("spam",),
        "d": ("rude",),
        "e": ("rude", "spam"),
    }
    assert read(write_csv(file, cells), columns=Columns(separator=";"), into="train") == corpus
    assert read(write_parquet(file, rows), into="train") == corpus


def test_numbers_and_truth_values_are_labels(file: Path) -> None:
    """By the same names in every format."""
    rows = [{"text": "abcd"[n], "label": n % 2} for n in range(4)]
    corpus = read(write_json(file, rows), into="test")
    assert corpus.labels == ("0", "1")
    assert read(write_csv(file, rows), into="test") == read(write_parquet(file, rows), into="test") == corpus
    truths = [{"text": "abcd"[n], "label": n % 2 == 0} for n in range(4)]
    assert read(write_parquet(file, truths), into="test").labels == ("false", "true")


def test_a_sample_of_a_long_file(file: Path) -> None:
    """No more examples are held than asked for, the same ones in any order; the rest is counted."""
    rows = [{"text": f"text {chr(0x4E00 + n)}", "label": "ab"[n % 2]} for n in range(300)]
    corpus = read(write_json(file, rows), max_examples=60)
    assert len(corpus.train) + len(corpus.valid) + len(corpus.test) == 60
    assert corpus.dropped == {"not_sampled": 240}
    assert read(write_csv(file, rows[::-1]), max_examples=60) == corpus
    assert read(write_json(file, rows), max_examples=60, seed=1) != corpus


def test_rows_are_a_stream(file: Path) -> None:
    """The first row is there before the rest of the file has been read."""
    path = write_json(file, PLAIN)
    with path.open("ab") as out:
        out.write(b"broken\n" * 200_000)
    tally = Tally()
    rows = read_examples([path], columns=Columns(), tally=tally)
    assert next(rows).text == PLAIN[0]["text"]
    assert tally.dropped == {}


@pytest.mark.parametrize("into", ["train", "valid", "test"])
def test_all_rows_may_go_to_one_split(file: Path, into: Any) -> None:
    """As a finished model is measured: whatever the rows name, and without the conditions of a training."""
    corpus = read(write_json(file, PLAIN[:1]), into=into)
    assert [len(corpus.of(split)) for split in ("train", "valid", "test")].count(1) == 1
    assert len(corpus.of(into)) == 1
    with pytest.raises(SettingsError, match="one and the same label"):
        read(write_json(file, PLAIN[:1]))
