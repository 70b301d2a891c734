"""Embeddings that survive an interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.model.tiny import texts_of
from tests.training.corpora import tiny_encoder
from worker.model.folder import read_folder
from worker.model.recipe import EngineRecipe, Windows
from worker.training import embedding
from worker.training.embedding import Embeddings, embeddings_of, readable
from worker.training.progress import Silence


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("models") / "encoder")


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "PART", 10)


def embed(encoder: Path, cache: Path, texts: list[str], recipe: EngineRecipe | None = None) -> Embeddings:
    folder = read_folder(str(encoder))
    return embeddings_of(texts, folder=folder, recipe=recipe or EngineRecipe(), cache=cache, progress=Silence())


def test_what_is_there_is_not_computed_again(encoder: Path, tmp_path: Path) -> None:
    """A part that was made is read; one that is missing or damaged is made again."""
    texts = texts_of(25, 8)
    first = embed(encoder, tmp_path, texts)
    one, two, three = sorted(tmp_path.rglob("*.npy"))
    np.save(one, np.full((10, 16), 7, np.float32))
    two.unlink()
    three.write_bytes(b"no array")
    again = embed(encoder, tmp_path, texts)
    assert (again[:10] == 7).all()
    np.testing.assert_array_equal(again[10:], first[10:])
    assert [path.name for path in sorted(tmp_path.rglob("*.*"))] == [one.name, two.name, three.name]


def test_other_texts_and_other_ways_to_read_them_are_kept_apart(encoder: Path, tmp_path: Path) -> None:
    """Texts in another order, and windows instead of cut texts, have files of their own."""
    texts = texts_of(5, 50)
    embed(encoder, tmp_path, texts)
    embed(encoder, tmp_path, texts[::-1])
    embed(encoder, tmp_path, texts, EngineRecipe(windows=Windows(4)))
    assert len(list(tmp_path.rglob("*.npy"))) == 3


def test_a_text_that_cannot_be_read_has_none(encoder: Path, tmp_path: Path) -> None:
    """Also when it comes from the files."""
    for _ in range(2):
        assert readable(embed(encoder, tmp_path, ["w1", "\ud800", "w2"])).tolist() == [True, False, True]
