"""`clusters fit --method dec`: what is asked, and what is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from tests.model.tiny import WORDS, texts_of
from tests.training.corpora import tiny_encoder
from worker.cli.clusterdeep import Fitted, Method, deepen, refuse_early, with_method
from worker.cli.clustertexts import Found
from worker.clusters.assign import assign
from worker.clusters.embedding import Embedded
from worker.clusters.fitting import first_table
from worker.clusters.samples import Samples
from worker.clusters.spherical import Matrix, normalise
from worker.errors import SettingsError
from worker.model.assembly import engine_of
from worker.model.folder import read_folder
from worker.model.recipe import EngineRecipe
from worker.settings import Settings
from worker.training import deep, deepguard
from worker.training.deepguard import Verdict

GOOD, BAD = Verdict(0, 0.9, 0.3, 0.2), Verdict(0, 0.9, 0.2, 0.3)


def asked(*arguments: str) -> Method | BaseException | None:
    """What a command gets of its options."""
    got: list[Method] = []

    @click.command()
    @with_method
    def command(method: Method) -> None:
        got.append(method)

    result = CliRunner().invoke(command, arguments)
    return got[0] if got else result.exception


def fitted(rows: Matrix, texts: list[str], settings: Settings) -> Fitted:
    """By k-means, three clusters."""

    def samples(rows: Matrix) -> Samples:
        numbers = np.arange(len(rows))
        return Samples(rows, [text.split() for text in texts], numbers, numbers)

    from dataclasses import replace

    from worker.clustering import recipe_of

    table = first_table(samples(rows), replace(recipe_of(settings), k=3))
    return Fitted(settings, [Found(text, None) for text in texts], Embedded(rows, "enc"), table, samples)


def simple() -> Fitted:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(3, 8))[draw.integers(0, 3, 120)] + draw.normal(size=(120, 8)) * 0.3
    rows[7] = np.nan
    return fitted(normalise(rows.astype(np.float32)), [f"word{i % 3}" for i in range(120)], Settings())


def judged_as(verdict: Verdict, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(deepguard, "judge", lambda *_, **__: verdict)


def test_kmeans_is_what_nobody_asks_for() -> None:
    """Deep clustering is never the default, and does nothing then."""
    assert asked() == Method()
    found = simple()
    assert deepen(Method(), found, dry_run=False) == (found.table, "enc")


def test_layers_and_their_directory_go_together() -> None:
    """An encoder that learns has to be written somewhere."""
    assert asked("--method", "dec", "--tune", "top:2", "--out", "x") == Method("dec", 2, Path("x"))
    assert asked("--method", "dec", "--force") == Method("dec", force=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--force"], "are for --method dec"),
        (["--tune", "top:1", "--out", "x"], "are for --method dec"),
        (["--method", "dec", "--tune", "top:1"], "give --tune and --out, or neither"),
        (["--method", "dec", "--out", "x"], "give --tune and --out, or neither"),
        (["--method", "dec", "--tune", "full", "--out", "x"], "write top:N"),
    ],
)
def test_contradictions_are_refused(arguments: list[str], message: str) -> None:
    """In one line, before any work."""
    error = asked(*arguments)
    assert isinstance(error, SettingsError)
    assert message in str(error)


def test_better_clusters_are_taken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has a map then; all texts that have an embedding find their clusters by it."""
    judged_as(GOOD, monkeypatch)
    found = simple()
    table, encoder = deepen(Method("dec"), found, dry_run=False)
    assert (encoder, table.version, len(table.ids)) == ("enc", 1, 3)
    assert table.map is not None
    assert "dec is taken: silhouette 0.3000, of k-means 0.2000" in capsys.readouterr().err
    assert assign(table, found.embedded.rows).ids.count(None) < 15


def test_worse_clusters_are_taken_by_force_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else k-means is kept, and one line says why."""
    judged_as(BAD, monkeypatch)
    found = simple()
    assert deepen(Method("dec"), found, dry_run=False)[0] is found.table
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("k-means is kept: of dec, its silhouette is 0.2000, that of k-means 0.3000")
    assert deepen(Method("dec", force=True), found, dry_run=False)[0].map is not None
    assert "dec is taken by --force, although its silhouette" in capsys.readouterr().err


def test_an_encoder_too_wide_for_a_map_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the training."""

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(deep, "fit_map", never)
    rows = normalise(np.random.default_rng(0).normal(size=(40, 768)).astype(np.float32))
    with pytest.raises(SettingsError, match="--tune top:1"):
        deepen(Method("dec"), fitted(rows, ["a"] * 40, Settings()), dry_run=False)


def test_layers_that_are_not_there_are_refused_at_once(tmp_path: Path) -> None:
    """And so is a directory that holds something else."""
    settings = Settings.model_validate({"model": {"path": str(tiny_encoder(tmp_path / "base"))}})
    refuse_early(Method(), settings)
    refuse_early(Method("dec", 2, tmp_path / "out"), settings)
    with pytest.raises(SettingsError, match="the model has 2 layers"):
        refuse_early(Method("dec", 3, tmp_path / "out"), settings)
    with pytest.raises(SettingsError, match="choose another --out"):
        refuse_early(Method("dec", 1, tmp_path / "base"), settings)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_tuned_encoder_is_what_the_table_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dry_run: bool
) -> None:
    """Its fingerprint goes with the table, so that workers refuse another one; no map is needed. Its cost is said.

    A dry run writes nothing.
    """
    judged_as(GOOD, monkeypatch)
    base, out, texts = tiny_encoder(tmp_path / "base"), tmp_path / "own", texts_of(60, 8)
    engine = engine_of(read_folder(str(base)), EngineRecipe())
    rows = engine.infer(engine.tokenize(texts)).embeddings
    found = fitted(rows, texts, Settings.model_validate({"model": {"path": str(base), "threads": 1}}))
    table, encoder = deepen(Method("dec", 1, out), found, dry_run=dry_run)
    assert table.map is None
    assert "1 of 2 layers a second time, 50% of a pass" in capsys.readouterr().err
    assert out.exists() is not dry_run
    if not dry_run:
        own = engine_of(read_folder(str(out)), EngineRecipe())
        assert encoder == own.encoder != engine.encoder
        ids = assign(table, own.infer(own.tokenize(texts)).embeddings).ids
        assert ids.count(None) <= 4
        assert {name for one in table.names.values() for name in one.split(", ")} <= set(WORDS)


def test_a_refused_encoder_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is that of k-means, of the encoder that there was."""
    judged_as(BAD, monkeypatch)
    base, out, texts = tiny_encoder(tmp_path / "base"), tmp_path / "own", texts_of(60, 8)
    engine = engine_of(read_folder(str(base)), EngineRecipe())
    rows = engine.infer(engine.tokenize(texts)).embeddings
    found = fitted(rows, texts, Settings.model_validate({"model": {"path": str(base)}}))
    assert deepen(Method("dec", 1, out), found, dry_run=False) == (found.table, "enc")
    assert not out.exists()
