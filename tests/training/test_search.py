"""A search tries options on the validation part, keeps what it tried, and writes the best model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.model.stock import load, predict
from tests.training.toy import ONE_THREAD, QUICK, corpus_of, job_of, write_base
from worker.errors import SettingsError
from worker.model.manifest import read_manifest
from worker.training import search as searching
from worker.training.corpus import Corpus, Example
from worker.training.finish import Trained
from worker.training.progress import Silence, Task
from worker.training.search import Limits, search
from worker.training.trainer import FineTuning
from worker.training.trials import Trial, best_of, plot, read_trials, write_trials

SHORT = replace(QUICK, epochs=2, learning_rate=1e-3)


class Heard(Silence):
    """Keeps what is said; interrupts the task of a number, after so many steps."""

    def __init__(self, task: int = -1, step: int = 0) -> None:
        self.lines: list[str] = []
        self._tasks = -1
        self._at = task, step

    def say(self, line: str) -> None:
        self.lines.append(line)

    @contextmanager
    def task(self, what: str, steps: int) -> Iterator[Task]:
        self._tasks += 1
        number, done = self._tasks, 0

        def advance(more: int, note: str = "") -> None:
            nonlocal done
            done += more
            if (number, done) == self._at:
                raise KeyboardInterrupt

        yield advance


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a tiny model can learn with, in seconds."""
    monkeypatch.setattr(searching, "EPOCHS", (1, 3))
    monkeypatch.setattr(searching, "LEARNING_RATES", (1e-3, 2e-2))


def searched(base: Path, out: Path, corpus: Corpus, trials: int, **options: Any) -> Trained:
    given = {"top": 1, "progress": Silence(), "options": SHORT, "machine": ONE_THREAD, **options}
    limits = Limits(trials, options.pop("budget_s", float("inf")))
    given.pop("budget_s", None)
    return search(corpus, job_of(base, out, "top:1"), limits=limits, **given)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]


def test_the_best_trial_becomes_the_model(base: Path, tmp_path: Path) -> None:
    """Written as a fine-tuning's, with all trials beside it; the first is of the options that were given."""
    corpus = corpus_of()
    trained = searched(base, tmp_path / "out", corpus, 4)
    tried = rows(tmp_path / "out")
    assert [row["number"] for row in tried] == [0, 1, 2, 3]
    assert (tried[0]["top"], FineTuning(**tried[0]["options"])) == (1, SHORT)
    best = max(tried, key=lambda row: row["macro_f1"])
    assert best["macro_f1"] > tried[0]["macro_f1"]
    manifest = read_manifest(tmp_path / "out")
    assert manifest is not None
    assert manifest.tune == ("full" if best["top"] is None else f"top:{best['top']}")
    assert trained.chosen["learning_rate"] == best["options"]["learning_rate"]
    engine = load(tmp_path / "out", encoder=base)
    assert engine.parts[1].computed == (best["top"] or 3)
    scores = predict(engine, [example.text for example in corpus.valid]).scores[0]
    given = [engine.classifiers[0].labels[i] for i in scores.argmax(axis=1)]
    right = [example.labels[0] for example in corpus.valid]
    assert macro_f1(given, right) == pytest.approx(best["macro_f1"])
    assert "<svg" in (tmp_path / "out" / "trials.svg").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def macro_f1(given: list[str], right: list[str]) -> float:
    pairs = list(zip(given, right, strict=True))
    found = []
    for label in sorted(set(given) | set(right)):
        hits = pairs.count((label, label))
        found.append(2 * hits / (given.count(label) + right.count(label)))
    return float(np.mean(found))


def test_equal_seeds_try_the_same(base: Path, tmp_path: Path) -> None:
    """And end with the same weights."""
    for name in ("one", "two"):
        searched(base, tmp_path / name, corpus_of(), 3)
    one, two = ([{**row, "seconds": 0} for row in rows(tmp_path / name)] for name in ("one", "two"))
    assert one == two
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert models[0] == models[1]


def test_an_interrupted_search_goes_on(base: Path, tmp_path: Path) -> None:
    """With the trial that it was in, from its last checkpoint; those that had ended are not tried again."""
    searched(base, tmp_path / "whole", corpus_of(), 3)
    with pytest.raises(KeyboardInterrupt):
        searched(base, tmp_path / "out", corpus_of(), 3, progress=Heard(task=1, step=14))
    again = Heard()
    searched(base, tmp_path / "out", corpus_of(), 3, progress=again)
    assert [line[:7] for line in again.lines if line.startswith("trial ")] == ["trial 1", "trial 2"]
    assert any("at step 12" in line for line in again.lines)
    whole, found = ([{**row, "seconds": 0} for row in rows(tmp_path / name)] for name in ("whole", "out"))
    assert found == whole
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "out")]
    assert models[0] == models[1]


def test_the_test_part_is_looked_at_once(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the search, by the best model; the trials do not even have it."""
    seen = []
    fit = searching.fit_classifier

    def noted(corpus: Corpus, *given: Any, **options: Any) -> Any:
        seen.append(len(corpus.test))
        return fit(corpus, *given, **options)

    monkeypatch.setattr(searching, "fit_classifier", noted)
    trained = searched(base, tmp_path / "out", corpus_of(test=30), 2)
    assert seen == [0, 0, 30]
    assert trained.evaluation is not None
    assert trained.evaluation.facts.texts["judged"] == 30


def test_a_budget_ends_the_search(base: Path, tmp_path: Path) -> None:
    """Within a trial too: it is written as it is then, and marked as cut short."""
    searched(base, tmp_path / "out", corpus_of(), 50, budget_s=1e-3)
    (only,) = rows(tmp_path / "out")
    assert not only["whole"]
    assert read_manifest(tmp_path / "out") is not None


def test_a_trial_that_diverges_is_worth_nothing(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search goes on, and another one is the best."""
    wild = replace(SHORT, learning_rate=1e36)
    fit = searching.fit_classifier

    def first_wild(*given: Any, options: FineTuning, **more: Any) -> Any:
        return fit(*given, options=wild if options == SHORT else options, **more)

    monkeypatch.setattr(searching, "fit_classifier", first_wild)
    trained = searched(base, tmp_path / "out", corpus_of(), 2)
    first, second = rows(tmp_path / "out")
    assert first["macro_f1"] == 0.0 < second["macro_f1"]
    assert trained.chosen["learning_rate"] == second["options"]["learning_rate"]


def test_a_family_that_cannot_be_frozen_trains_as_a_whole(tmp_path: Path) -> None:
    """Layers are no choice then."""
    base = write_base(tmp_path / "base", "mpnet")
    searched(base, tmp_path / "out", corpus_of(train=24, valid=9), 3, top=None)
    assert {row["top"] for row in rows(tmp_path / "out")} == {None}


def test_without_a_validation_part_there_is_nothing_to_judge_by(base: Path, tmp_path: Path) -> None:
    """One line, before anything is trained."""
    with pytest.raises(SettingsError, match="needs a validation part"):
        searched(base, tmp_path / "out", corpus_of(valid=0), 2)
    assert not list(tmp_path.iterdir())


def trial(number: int, macro_f1: float, *, whole: bool = True) -> Trial:
    return Trial(number, None if number % 2 else 2, FineTuning(), macro_f1, 1.5, whole)


def test_a_trial_that_was_cut_short_is_not_the_best() -> None:
    """Unless there is no other; of equals the first is."""
    assert best_of([trial(0, 0.5), trial(1, 0.7), trial(2, 0.7), trial(3, 0.9, whole=False)]).number == 1
    assert best_of([trial(0, 0.5, whole=False)]).number == 0


def test_trials_are_read_as_written(tmp_path: Path) -> None:
    """Half a line at the end is left out; a file that is not there holds none."""
    file = tmp_path / "trials.jsonl"
    assert read_trials(file) == []
    trials = [trial(0, 0.5), trial(1, 0.75)]
    write_trials(file, trials)
    with file.open("a") as stream:
        stream.write('{"number": 2')
    assert read_trials(file) == trials


def test_a_plot_shows_each_value_that_was_tried() -> None:
    """As SVG, the same for the same trials."""
    trials = [trial(0, 0.5), trial(1, 0.75)]
    picture = plot(trials, 3)
    assert plot(trials, 3) == picture
    assert all(name in picture for name in ("learning rate", "epochs", "layers trained", "weight decay"))


def test_texts_are_not_among_what_is_kept(base: Path, tmp_path: Path) -> None:
    """Neither beside the model nor in it."""
    corpus = corpus_of(train=24, valid=9)
    secret = replace(corpus, train=(*corpus.train, Example("confidential w1 w1", ("a",))))
    searched(base, tmp_path / "out", secret, 1)
    assert not [path for path in (tmp_path / "out").iterdir() if b"confidential" in path.read_bytes()]
