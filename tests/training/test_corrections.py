"""Corrections put into the data: whose word counts, where a corrected text lies, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from worker.errors import SettingsError
from worker.model.folder import ModelFolder
from worker.training.columns import Columns
from worker.training.corpus import SPLITS, Corpus, Example, Kind, Split, fingerprint
from worker.training.corrections import Corrected, corrected
from worker.training.reading import read_corpus
from worker.training.splitting import key_of, split_of


class InUse:
    """What a model directory says of itself."""

    def __init__(self, labels: Sequence[str] = ("ham", "spam"), kind: Kind = "single") -> None:
        self.labels, self.kind = tuple(labels), kind


def _data(kind: Kind = "single") -> Corpus:
    """Texts whose split is given, and not that of their hash."""
    splits: dict[Split, tuple[Example, ...]] = {
        split: tuple(Example(f"{split} {word} {label}", (label,)) for word in "abcde" for label in ("ham", "spam"))
        for split in SPLITS
    }
    return Corpus(kind, ("ham", "spam"), **cast(Any, splits), dropped={}, fingerprint=fingerprint(kind, splits))


def _rows(path: Path, *rows: dict[str, Any]) -> Path:
    file = path / "corrections.jsonl"
    file.write_text("".join(json.dumps({"by": "ann", "at": None, **row}) + "\n" for row in rows), encoding="utf-8")
    return file


def _corrected(path: Path, *rows: dict[str, Any], data: Corpus | None = None, in_use: Any = None) -> Corrected:
    return corrected(data or _data(), _rows(path, *rows), cast(ModelFolder, in_use or InUse()))


def _where(corpus: Corpus, text: str) -> list[tuple[Split, tuple[str, ...]]]:
    return [(split, e.labels) for split in SPLITS for e in corpus.of(split) if e.text == text]


@pytest.mark.parametrize("split", SPLITS)
def test_a_correction_of_a_text_stays_in_its_split(tmp_path: Path, split: Split) -> None:
    """A text that is held back stays out of the training, whatever its hash says; the correction's label counts."""
    found = _corrected(tmp_path, {"text": f"{split} A ham!", "label": "spam"})
    assert _where(found.corpus, f"{split} A ham!") == [(split, ("spam",))]
    assert not _where(found.corpus, f"{split} a ham")
    assert sum(found.held_back) == (split == "test")
    assert found.notes[0].endswith("; 1 are of texts in the data, 1 with other labels there")
    assert found.corpus.fingerprint != _data().fingerprint


def test_a_new_text_goes_by_its_hash(tmp_path: Path) -> None:
    """As it would in the data: the next training on it finds it in the same split."""
    texts = [f"new {word}" for word in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")]
    found = _corrected(tmp_path, *({"text": text, "label": "ham"} for text in texts))
    for text in texts:
        assert _where(found.corpus, text) == [(split_of(key_of(text)), ("ham",))]
    marked = [e.text for e, flag in zip(found.corpus.test, found.held_back, strict=True) if flag]
    assert sorted(marked) == sorted(text for text in texts if split_of(key_of(text)) == "test")


def test_the_last_of_several_lines_counts(tmp_path: Path) -> None:
    """Lines are in the order of their time; texts of one normalised form are one text."""
    found = _corrected(tmp_path, {"text": "A b", "label": "ham"}, {"text": "a  B!", "label": "spam"})
    assert not _where(found.corpus, "A b")
    assert _where(found.corpus, "a  B!") == [(split_of(key_of("a b")), ("spam",))]


def test_corrections_without_one_label_are_left_out_and_said(tmp_path: Path) -> None:
    """Of a model that gives one label; what has several, or none, is counted."""
    several = {"text": "both", "label": ["ham", "spam"]}
    found = _corrected(tmp_path, several, {"text": "neither", "label": []}, {"text": "fine", "label": "ham"})
    assert found.notes[-1] == "left out of the corrections: not one label 2"
    assert found.corpus.kind == "single"


def test_a_multi_label_correction_is_whole(tmp_path: Path) -> None:
    """Any number of labels, none included."""
    many = {"text": "both", "label": ["spam", "ham"]}
    found = _corrected(tmp_path, many, {"text": "none", "label": []}, data=_data("multi"), in_use=InUse(kind="multi"))
    assert [labels for _, labels in _where(found.corpus, "both") + _where(found.corpus, "none")] == [
        ("ham", "spam"),
        (),
    ]


def test_a_new_label_with_examples_is_learned_and_said(tmp_path: Path) -> None:
    """A label that only the corrections have is fine where there is enough of it."""
    rows = [{"text": f"an invoice {word}", "label": "bills"} for word in "abcdefghij"]
    found = _corrected(tmp_path, *rows)
    assert "bills" in found.corpus.labels
    assert "new label of the corrections: 'bills' (10 texts)" in found.notes


def test_a_label_that_will_be_lost_is_said(tmp_path: Path) -> None:
    """The model in use has it, no text has."""
    found = _corrected(tmp_path, {"text": "fine", "label": "ham"}, in_use=InUse(("ham", "spam", "eggs")))
    assert "the new model will not have the label 'eggs' of the model in use: no text has it" in found.notes


@pytest.mark.parametrize(
    ("rows", "in_use", "words"),
    [
        ([{"text": "x y", "label": "spamm"}], InUse(), "has the label 'spamm' in 1 of its texts"),
        ([{"text": "x y", "label": "Spam"}], InUse(), "has the label 'Spam', the data has 'spam': make them one"),
        ([{"text": " ", "label": "spam"}], InUse(), r"no correction that can be used \(empty_text 1\)"),
        (
            [{"text": "x y", "label": "spam"}],
            InUse(kind="multi"),
            "gives any number of labels a text, the data has one",
        ),
        ([{"text": "x y", "label": "spam"}], InUse(["a", "b"]), "none of the data's labels"),
        ([], InUse(), "has no row that can be read"),
    ],
    ids=["slip", "case", "blank", "kind", "other labels", "empty"],
)
def test_what_cannot_work_is_one_line(tmp_path: Path, rows: list[dict[str, Any]], in_use: Any, words: str) -> None:
    """Before anything long, and without a text of the corrections."""
    with pytest.raises(SettingsError, match=words) as caught:
        _corrected(tmp_path, *rows, in_use=in_use)
    assert "x y" not in str(caught.value)


def test_something_has_to_be_held_back(tmp_path: Path) -> None:
    """Without a test part there is nothing to compare on."""
    data = _data()
    text = next(f"word {i}" for i in "abcdefgh" if split_of(key_of(f"word {i}")) == "train")
    file = _rows(tmp_path, {"text": text, "label": "ham"})
    without = Corpus("single", data.labels, data.train, data.valid, (), {}, data.fingerprint)
    with pytest.raises(SettingsError, match="no text is held back"):
        corrected(without, file, cast(ModelFolder, InUse()))


def test_the_set_is_read_as_any_other_data(tmp_path: Path) -> None:
    """What is collected can be trained on by itself."""
    rows = [{"text": f"{label} {word}", "label": label} for label in ("ham", "spam") for word in "abcdefghijklmnop"]
    corpus = read_corpus([_rows(tmp_path, *rows)], columns=Columns())
    assert (corpus.kind, corpus.labels, sum(len(corpus.of(split)) for split in SPLITS)) == (
        "single",
        ("ham", "spam"),
        32,
    )
