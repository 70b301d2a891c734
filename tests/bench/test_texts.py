"""Texts to measure with."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from worker.bench.texts import as_values, load_texts
from worker.errors import SettingsError


def _folder(tmp_path: Path, *lines: str) -> Path:
    (tmp_path / "some.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return tmp_path


def test_made_up_texts_are_the_same_for_a_seed() -> None:
    """Two runs measure the same texts, another seed gives others."""
    assert load_texts(None, 50, seed=1) == load_texts(None, 50, seed=1)
    assert load_texts(None, 50, seed=1) != load_texts(None, 50, seed=2)


def test_made_up_texts_are_mostly_short_with_a_long_tail() -> None:
    """Lengths are spread as those of comments: a median of some twenty words, and a few texts that are much longer."""
    lengths = [len(text.split()) for text in load_texts(None, 2000)]
    assert 14 <= statistics.median(lengths) <= 22
    assert max(lengths) > 100
    assert min(lengths) >= 1


def test_reads_the_text_fields_of_all_files(tmp_path: Path) -> None:
    """Texts of a folder's JSON lines, blank ones and objects without a text left out."""
    folder = _folder(tmp_path, '{"text": "one"}', '{"text": " "}', '{"label": "x"}', '{"text": 3}', '["text"]')
    (tmp_path / "more.jsonl").write_text('{"text": "two", "label": "y"}\n', encoding="utf-8")
    assert sorted(load_texts(folder, 2)) == ["one", "two"]


def test_texts_come_again_where_there_are_fewer(tmp_path: Path) -> None:
    """A folder of two texts gives five."""
    texts = load_texts(_folder(tmp_path, '{"text": "one"}', '{"text": "two"}'), 5)
    assert len(texts) == 5
    assert set(texts) == {"one", "two"}


@pytest.mark.parametrize(("line", "said"), [("{", "line 1 is not JSON"), ('{"x": 1}', "holds no .* with a text field")])
def test_refuses_what_holds_no_texts(tmp_path: Path, line: str, said: str) -> None:
    """One line says what is wrong with the folder."""
    with pytest.raises(SettingsError, match=said):
        load_texts(_folder(tmp_path, line), 1)


def test_values_are_what_a_producer_sends() -> None:
    """JSON objects with a text field."""
    assert [json.loads(value) for value in as_values(["é", "b"])] == [{"text": "é"}, {"text": "b"}]
