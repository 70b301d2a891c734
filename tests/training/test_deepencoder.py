"""Deep clustering through the upper layers gives an encoder that a worker can read, and that shares what lies below."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.model.tiny import texts_of
from tests.training.corpora import tiny_encoder
from worker.clusters.spherical import start
from worker.errors import SettingsError
from worker.model.assembly import encoder_of, engine_of
from worker.model.folder import ModelFolder, read_folder
from worker.model.loading import load_model
from worker.model.network import Network, common_layers
from worker.model.recipe import EngineRecipe
from worker.training.deep import Deepening, Numbers
from worker.training.deepencoder import Tuned, tune_encoder
from worker.training.progress import Silence

TEXTS = [*texts_of(60, 8), "\ud800"]
QUICK = Deepening(epochs=2, learning_rate=1e-3, batch_size=16, threads=1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return read_folder(str(tiny_encoder(tmp_path_factory.mktemp("models") / "encoder")))


def embed(folder: ModelFolder) -> Numbers:
    engine = engine_of(folder, EngineRecipe(dtype="float32", device="cpu"))
    return engine.infer(engine.tokenize(TEXTS[:-1])).embeddings


def tuned(base: ModelFolder, out: Path, *, top: int = 1, accept: bool = True, seed: int = 0) -> Tuned:
    centres, _ = start(embed(base), 4, 0)
    options = Deepening(2, 1e-3, 16, seed, threads=1)
    return tune_encoder(
        base, TEXTS, centres, top=top, out=out, accept=lambda _: accept, progress=Silence(), options=options
    )


def test_the_encoder_embeds_as_its_training_did(base: ModelFolder, tmp_path: Path) -> None:
    """What was judged is what a worker that reads the directory computes; a text that no model reads has no row."""
    found = tuned(base, tmp_path / "own")
    np.testing.assert_allclose(embed(read_folder(str(tmp_path / "own"))), found.rows[:-1], atol=1e-5)
    assert np.isnan(found.rows[-1]).all()
    assert np.abs(found.rows[:-1] - embed(base)).max() > 1e-3


def test_only_the_layers_named_have_changed(base: ModelFolder, tmp_path: Path) -> None:
    """The others are bit by bit those of the base, so that they are computed once; the share is said."""
    found = tuned(base, tmp_path / "own")
    networks = [
        Network(load_model(folder, torch.device("cpu"), torch.float32))
        for folder in (base, read_folder(str(tmp_path / "own")))
    ]
    assert common_layers(*networks) == found.layers - found.top == 1


def test_equal_seeds_give_equal_encoders(base: ModelFolder, tmp_path: Path) -> None:
    """And another seed another one."""
    one, same, other = (tuned(base, tmp_path / str(i), seed=seed) for i, seed in enumerate((1, 1, 2)))
    np.testing.assert_array_equal(one.rows, same.rows)
    np.testing.assert_array_equal(one.centres, same.centres)
    assert (one.rows[:-1] != other.rows[:-1]).any()


def test_a_refused_encoder_is_not_written(base: ModelFolder, tmp_path: Path) -> None:
    """Nothing is left of it."""
    tuned(base, tmp_path / "own", accept=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("top", "message"), [(3, "the model has 2 layers"), (0, "choose from 1")])
def test_layers_that_are_not_there_are_refused(base: ModelFolder, tmp_path: Path, top: int, message: str) -> None:
    """Before anything is computed."""
    with pytest.raises(SettingsError, match=message):
        tuned(base, tmp_path / "own", top=top)


def test_a_full_directory_is_not_overwritten(base: ModelFolder, tmp_path: Path) -> None:
    """It may be anything."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingsError, match="choose another --out"):
        tuned(base, tmp_path / "own")


def test_texts_that_cannot_be_read_are_refused(base: ModelFolder, tmp_path: Path) -> None:
    """In one line."""
    centres = np.eye(2, 16, dtype=np.float32)
    with pytest.raises(SettingsError, match="no text can be tokenised"):
        tune_encoder(
            base,
            ["\ud800"],
            centres,
            top=1,
            out=tmp_path / "own",
            accept=lambda _: True,
            progress=Silence(),
            options=QUICK,
        )


def test_the_base_is_the_encoder_of_the_settings(base: ModelFolder) -> None:
    """What `--tune` begins with is what the worker embeds with."""
    recipe = EngineRecipe(encoder=str(base.root))
    assert encoder_of(recipe).root == base.root
