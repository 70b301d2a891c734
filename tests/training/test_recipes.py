"""`--recipe auto`: recipes are compared on the validation part, and the one worth its price is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.model.stock import load, predict
from tests.training.test_search import Heard, macro_f1
from tests.training.toy import ONE_THREAD, QUICK, corpus_of, job_of, write_base
from worker.errors import SettingsError
from worker.model.manifest import read_manifest
from worker.model.recipe import EngineRecipe
from worker.training import recipes
from worker.training.corpus import Corpus
from worker.training.finish import Trained
from worker.training.passes import Pass
from worker.training.progress import Silence
from worker.training.recipes import Means, train_best


class Named(Silence):
    """Keeps the names of the tasks."""

    def __init__(self) -> None:
        self.tasks: list[str] = []

    def task(self, what: str, steps: int) -> Any:
        self.tasks.append(what)
        return super().task(what, steps)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "base")


def compared(base: Path, out: Path, corpus: Corpus, *, budget_s: float = 600.0, **options: Any) -> Trained:
    engine = options.pop("engine", EngineRecipe(device="cpu", threads=1))
    means = Means(engine, out.with_name("cache"), QUICK, ONE_THREAD)
    given = {"progress": Silence(), **options}
    return train_best(corpus, job_of(base, out, "head"), means=means, budget_s=budget_s, **given)


def names(trained: Trained) -> list[str]:
    return [one.recipe for one in trained.compared]


def test_the_best_for_its_price_is_written(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All recipes are measured on validation; the test part is seen by the chosen one only, at the end."""
    seen = []
    fit = recipes.fit_classifier

    def noted(corpus: Corpus, *given: Any, **more: Any) -> Any:
        seen.append(len(corpus.test))
        return fit(corpus, *given, **more)

    monkeypatch.setattr(recipes, "fit_classifier", noted)
    monkeypatch.setattr(recipes, "choose", lambda passes, valid, seed: 2)
    trained = compared(base, tmp_path / "out", corpus_of(test=30))
    assert seen == [0, 0, 30]
    assert names(trained) == ["head", "head+characters", "top:2", "full"]
    assert [one.chosen for one in trained.compared] == [False, False, True, False]
    assert [round(one.passes, 2) for one in trained.compared] == [1, 1, 1.67, 2]
    assert all(one.macro_f1 is not None and one.seconds is not None for one in trained.compared)
    manifest = read_manifest(tmp_path / "out")
    assert manifest is not None
    assert manifest.tune == "top:2"
    engine, corpus = load(tmp_path / "out", encoder=base), corpus_of(test=30)
    assert engine.parts[1].computed == 2
    scores = predict(engine, [example.text for example in corpus.valid]).scores[0]
    given = [engine.classifiers[0].labels[i] for i in scores.argmax(axis=1)]
    right = [example.labels[0] for example in corpus.valid]
    assert macro_f1(given, right) == pytest.approx(trained.compared[2].macro_f1)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| top:2 * |" in card
    assert "| head+characters |" in card
    assert {path.name for path in tmp_path.iterdir()} == {"out", "cache"}


def test_without_time_the_cheapest_is_taken(base: Path, tmp_path: Path) -> None:
    """Nothing is left for the others, which is said of each."""
    heard = Heard()
    trained = compared(base, tmp_path / "out", corpus_of(train=24, valid=9), budget_s=1e-9, progress=heard)
    assert [one.note for one in trained.compared] == ["", *["left out, the time budget is spent"] * 3]
    assert trained.compared[0].chosen
    assert "full: left out, the time budget is spent" in heard.lines
    assert trained.manifest["tune"] == "head"


def test_what_cannot_end_in_time_is_not_begun(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the passes that it takes at least; the heads are measured all the same."""
    monkeypatch.setattr(recipes, "measure_pass", lambda *given: Pass(text_s=3.0, characters_s=0.0))
    trained = compared(base, tmp_path / "out", corpus_of(train=24, valid=9), budget_s=400.0)
    assert [bool(one.note) for one in trained.compared] == [False, False, True, True]
    assert trained.compared[3].note.startswith("left out, it would take 11 min or more, and ")


def test_a_fine_tuning_is_cut_short(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it takes longer than it seemed; it is judged as it was then, and written so if it is the best."""
    monkeypatch.setattr(recipes, "measure_pass", lambda *given: Pass(text_s=0.0, characters_s=0.0))
    monkeypatch.setattr(
        recipes._Comparison, "_head", lambda self, recipe, s: recipes._Tried(recipe, seconds=s, note="away")
    )
    monkeypatch.setattr(recipes, "RECIPES", (recipes.RECIPES[0], recipes.RECIPES[3]))
    monkeypatch.setattr(recipes._Comparison, "_embed", lambda self: 599.9999)
    trained = compared(base, tmp_path / "out", corpus_of())
    assert trained.compared[1].note.startswith("cut short by the time budget")
    assert float(trained.chosen["epoch"]) < 0.5


def test_an_interrupted_comparison_goes_on(base: Path, tmp_path: Path) -> None:
    """With the fine-tuning that it was in, from its last checkpoint; what it tells is what it would have told."""
    corpus = corpus_of(train=48, valid=15)
    told = Named()
    whole = compared(base, tmp_path / "whole", corpus, progress=told)
    last = [place for place, name in enumerate(told.tasks) if name == "training"][1]
    with pytest.raises(KeyboardInterrupt):
        compared(base, tmp_path / "out", corpus, progress=Heard(task=last, step=14))
    again = Heard()
    found = compared(base, tmp_path / "out", corpus, progress=again)
    assert any(line.startswith("going on with the interrupted training, at step 12") for line in again.lines)
    assert [(one.recipe, one.macro_f1, one.chosen) for one in found.compared] == [
        (one.recipe, one.macro_f1, one.chosen) for one in whole.compared
    ]


@pytest.mark.parametrize("engine", [{"lasting": False}, {"encoder": "other"}], ids=["no clusters", "other encoder"])
def test_where_no_pass_is_shared_all_cost_the_same(base: Path, tmp_path: Path, engine: dict[str, Any]) -> None:
    """Then the best is taken, whatever it trains."""
    if "encoder" in engine:
        engine = {"encoder": str(write_base(tmp_path / "other", "distilbert"))}
    recipe = EngineRecipe(device="cpu", threads=1, **engine)
    trained = compared(base, tmp_path / "out", corpus_of(train=24, valid=9), budget_s=1e-9, engine=recipe)
    assert {one.passes for one in trained.compared} == {1.0}


def test_layers_that_cannot_be_frozen_are_left_out(tmp_path: Path) -> None:
    """And so are two of two layers, which would be all."""
    for kind, why in (("mpnet", "cannot be frozen"), ("distilbert", "has only 2 layers")):
        base = write_base(tmp_path / kind, kind)
        trained = compared(base, tmp_path / f"out-{kind}", corpus_of(train=24, valid=9), budget_s=1e-9)
        assert why in trained.compared[2].note


def test_without_a_validation_part_there_is_nothing_to_compare_on(base: Path, tmp_path: Path) -> None:
    """One line, before anything is trained."""
    with pytest.raises(SettingsError, match="compared on a validation part"):
        compared(base, tmp_path / "out", corpus_of(valid=0))
    assert not list(tmp_path.iterdir())
