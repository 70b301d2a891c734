"""What the quality benchmark chooses, compares and keeps, and that it measures what the worker would do."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks.quality_cells.cells import BASELINES, HEADS, Cell, Kept, Result, cells, chosen_sets
from benchmarks.quality_cells.judging import choose, recommended
from benchmarks.quality_cells.measuring import Measuring
from benchmarks.quality_cells.sets import SETS, Set, few
from benchmarks.quality_cells.tables import tables, targets
from tests.model.tiny import WORDS
from tests.training.corpora import SIZES, corpus_of, tiny_encoder
from worker.model.folder import read_folder
from worker.training.corpus import Corpus
from worker.training.progress import Silence

NAME = "sms_spam"
SET = Set(NAME, 0.9, tuned=True)
LABELS = ("ham", "spam")


def _corpus() -> Corpus:
    return corpus_of(LABELS)


def _result(wrong_valid: int, wrong: int, *, passes: float = 1.0, ece_low: float = 0.0) -> Result:
    """As a measured recipe that is wrong about so many texts of the parts, the first of each."""
    ece = {"value": ece_low + 0.01, "low": ece_low, "high": ece_low + 0.02}
    return {
        "valid": _part(SIZES["valid"], wrong_valid),
        "test": _part(SIZES["test"], wrong),
        "labels": list(LABELS),
        "passes": passes,
        "ece_before": 0.1,
        "ece": ece,
        "train_cpu_s": 2.0,
        "cpu_ms_text": 5.0,
    }


def _part(each: int, wrong: int) -> dict[str, object]:
    truth = [place for place in range(len(LABELS)) for _ in range(each)]
    given = [1 - label if i < wrong else label for i, label in enumerate(truth)]
    right = 1 - wrong / len(truth)
    return {"accuracy": right, "macro_f1": right, "given": given}


def _baselines(*wrong: int) -> Result:
    return {"baselines": [{**_result(9, count), "name": f"words, {count}", "train_s": 1.0} for count in wrong]}


def test_validation_chooses_and_a_pass_more_has_its_price() -> None:
    """As `--recipe auto`: characters cost no pass, so one text is enough; a second pass has to prove more."""
    corpus, head = _corpus(), {Cell(NAME, "head"): _result(4, 0)}
    dear = {**head, Cell(NAME, "full"): _result(3, 0, passes=2.0)}
    assert choose(dear, NAME, corpus) == "head"
    assert choose({**dear, Cell(NAME, "head+characters"): _result(3, 9)}, NAME, corpus) == "head+characters"
    assert choose({**head, Cell(NAME, "full"): _result(0, 9, passes=2.0)}, NAME, corpus) == "full"
    assert choose({}, NAME, corpus) is None


def test_the_baseline_to_beat_is_the_best_on_the_test_part() -> None:
    """Choosing it there can only be to its advantage."""
    results = {Cell(NAME, "head"): _result(0, 3), Cell(NAME, BASELINES): _baselines(6, 2, 8)}
    found = recommended(results, NAME, _corpus())
    assert found is not None
    assert found.against is not None
    assert found.baseline == "words, 2"
    assert found.against.accuracy.value == pytest.approx(-1 / 24)


def _holds(results: dict[Cell, Result]) -> dict[str, bool]:
    return {target.name.split(": ")[1]: target.holds for target in targets(results, [SET], {NAME: _corpus()})}


def test_targets_hold_or_not() -> None:
    """Accuracy is held to its goal; beside baselines, and top:2 beside full, chance is allowed for."""
    good = {
        Cell(NAME, "head"): _result(0, 1),
        Cell(NAME, BASELINES): _baselines(0),
        Cell(NAME, "top:2"): _result(9, 2),
        Cell(NAME, "full"): _result(9, 1),
    }
    assert set(_holds(good).values()) == {True}
    bad = {
        Cell(NAME, "head"): _result(0, 12, ece_low=0.04),
        Cell(NAME, BASELINES): _baselines(0),
        Cell(NAME, "top:2"): _result(9, 12),
        Cell(NAME, "full"): _result(9, 0),
    }
    assert set(_holds(bad).values()) == {False}


def test_what_was_not_measured_does_not_hold() -> None:
    """Without any result there are targets all the same, and none holds."""
    assert set(_holds({}).values()) == {False}


def test_tables_mark_the_choice_and_give_the_spread_of_few_labels() -> None:
    """The recommended recipe has an asterisk; draws are shown by their mean, lowest and highest."""
    draws = {Cell(NAME, "head", draw, 32): _result(9, wrong) for draw, wrong in enumerate((0, 6, 12))}
    results = {Cell(NAME, "head"): _result(0, 1), Cell(NAME, "head+characters"): _result(2, 1), **draws}
    shown = [table.as_objects() for table in tables(results, [SET], {NAME: _corpus()})]
    assert [row["set, recipe"] for row in shown[0]] == [f"{NAME}, head *", f"{NAME}, head+characters"]
    assert shown[2][0]["head"] == "0.750 (0.500 to 1.000)"


def test_few_texts_have_every_label_and_the_whole_test_part() -> None:
    """One of each label at least, a quarter as many to choose on, and another draw has others."""
    corpus = _corpus()
    one, other = (few(corpus, 8, draw) for draw in (0, 1))
    assert one is not None
    assert other is not None
    assert (len(one.train), len(one.valid), one.test) == (8, 2, corpus.test)
    assert {example.labels for example in one.train} == {("ham",), ("spam",)}
    assert one.train != other.train
    assert few(corpus, 1, 0) is None, "fewer texts than labels"
    assert few(corpus, 10_000, 0) is None, "more texts than there are"


def test_an_interrupted_run_goes_on_with_what_is_kept(tmp_path: Path) -> None:
    """A half written line is passed over, and a result of other code or data is not taken for one of this."""
    kept, cell = Kept(tmp_path / "quality.jsonl"), Cell(NAME, "head", 1, 32)
    kept.add(cell, "this", {"test": {}})
    with (tmp_path / "quality.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"cell": {"da')
    again = Kept(tmp_path / "quality.jsonl")
    assert again.get(cell, "this") == {"test": {}}
    assert again.get(cell, "other") is None
    assert again.get(Cell(NAME, "head", 1), "this") is None


def test_quick_is_heads_and_baselines_of_three_sets() -> None:
    """The full run has few labels, layers and seeds beside them."""
    quick = cells(chosen_sets([], quick=True), quick=True, layers=True)
    assert {cell.what for cell in quick} == {BASELINES, *HEADS}
    assert len({cell.data for cell in quick}) == 3
    whole = cells(SETS, quick=False, layers=True)
    assert len(set(whole)) == len(whole)
    assert {cell.seed for cell in whole if cell.what == "head" and not cell.texts} == {0, 1, 2}
    assert {cell.data for cell in whole if cell.what == "full"} == {"youtube_spam", "sms_spam", "banking77"}


def test_a_head_is_trained_and_its_answers_are_the_engines(tmp_path: Path) -> None:
    """On texts whose label words of their own tell it reaches everything; the engine gives the same scores."""
    data = tmp_path / "data"
    data.mkdir()
    (data / f"{NAME}.jsonl").write_text("\n".join(map(json.dumps, _rows())), encoding="utf-8")
    base = tmp_path / "base"
    base.mkdir()
    measuring = Measuring(data=data, cache=tmp_path, bases=[read_folder(str(tiny_encoder(base)))], progress=Silence())
    found = measuring.measure(Cell(NAME, "head+characters"))
    assert found is not None
    assert found["test"]["accuracy"] == 1.0
    assert found["engine_apart"] < 1e-3
    scarce = measuring.measure(Cell(NAME, "head", 0, 32))
    assert scarce is not None
    assert len(scarce["test"]["given"]) == len(found["test"]["given"])
    assert measuring.made_from(Cell(NAME, "head")) != measuring.made_from(Cell(NAME, BASELINES))


def _rows() -> list[dict[str, str]]:
    draw = random.Random(0)
    sizes = {"train": 40, "valid": 10, "test": 10}
    words = [word.translate(str.maketrans("0123456789", "abcdefghij")) for word in WORDS]
    return [
        {"text": " ".join(draw.choices(words[10 * i : 10 * i + 10], k=8)), "label": label, "split": split}
        for i, label in enumerate(LABELS)
        for split, count in sizes.items()
        for _ in range(count)
    ]
