"""Mails sorted into folders, one per label."""

from __future__ import annotations

import gzip
from pathlib import Path

from worker.training.columns import Columns
from worker.training.corpus import Corpus
from worker.training.mails import mails
from worker.training.reading import read_corpus

BEGIN = b"From a@example.com Thu Aug 22 12:36:23 2002\n"
HAM = b"Subject: Lunch\n\nAt noon?\n"
SPAM = b"Subject: =?utf-8?q?Gl=C3=BCck?=\nContent-Type: text/html; charset=latin-1\n\n<p>Gr\xfc\xdfe, <b>win</b></p>\n"


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def read(*paths: Path) -> Corpus:
    return read_corpus(paths, columns=Columns(), into="train")


def found(corpus: Corpus) -> set[tuple[str, str]]:
    return {(example.text, example.labels[0]) for example in corpus.train}


BOTH = {("Lunch\n\nAt noon?", "ham"), ("Glück\n\nGrüße, win", "spam")}


def test_single_mails_mbox_files_and_maildirs(tmp_path: Path) -> None:
    """The folder's name is the label; mails are read as the worker reads them, hidden files are passed over."""
    write(tmp_path / "single/ham/1.eml", HAM)
    write(tmp_path / "single/spam/0001.5b3a", BEGIN + SPAM)
    write(tmp_path / "single/spam/.DS_Store", b"\0\1")
    write(tmp_path / "boxes/ham/all.mbox", BEGIN + HAM + b"\n" + BEGIN + HAM)
    write(tmp_path / "boxes/spam/all.mbox.gz", gzip.compress(BEGIN + SPAM))
    write(tmp_path / "dirs/ham/cur/1:2,S", HAM)
    write(tmp_path / "dirs/spam/new/2", SPAM)
    for kind in ("single", "boxes", "dirs"):
        assert found(read(tmp_path / kind)) == BOTH
    assert len(read(tmp_path / "boxes").train) == 3
    assert found(read(tmp_path / "dirs/ham", tmp_path / "single/spam")) == BOTH


def test_folders_of_splits(tmp_path: Path) -> None:
    """`train` and `test` are no labels: the labels' folders lie in them."""
    for split, word in (("train", b"one"), ("train", b"two"), ("validation", b"three"), ("test", b"four")):
        write(tmp_path / split / "ham" / word.decode(), b"Subject: a\n\nhello " + word)
        write(tmp_path / split / "spam" / word.decode(), b"Subject: b\n\nbuy " + word)
    corpus = read_corpus([tmp_path], columns=Columns())
    assert corpus.labels == ("ham", "spam")
    assert (len(corpus.train), len(corpus.valid), len(corpus.test)) == (4, 2, 2)


def test_mails_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    """What is no mail, or shows nothing; the first of them is named."""
    write(tmp_path / "ham/1.eml", HAM)
    write(tmp_path / "ham/cmds", b"mv 1 2\n")
    write(tmp_path / "spam/2.eml", b"X-Nothing: here\n\n\n")
    corpus = read(tmp_path)
    assert corpus.dropped == {"empty_text": 1, "unreadable": 1}
    assert f"{tmp_path / 'ham/cmds'} mail 1" in corpus.notes[0]


def test_a_sentence_does_not_begin_a_mail(tmp_path: Path) -> None:
    """Only an mbox line behind a blank one, and with its time, does; one that was quoted is read as it was written."""
    body = b"Subject: a\n\nFrom here on\n\nFrom there\nFrom 9:00 to 10:00\n>From a@b Thu Aug 22 12:36:23 2002\n"
    write(tmp_path / "box", BEGIN + body + b"\n" + BEGIN + HAM)
    assert list(mails(tmp_path / "box")) == [body.replace(b">From", b"From") + b"\n", HAM]
