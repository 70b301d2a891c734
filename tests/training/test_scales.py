"""What a head's fit sees of the embedding and of the n-grams beside it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from worker.training.scales import column_scales

RANDOM = np.random.default_rng(3)
WIDTH = 4


def spread(rows: NDArray[np.float64]) -> float:
    return float(np.sqrt(((rows - rows.mean(axis=0)) ** 2).sum(axis=1).mean()))


def features(*, cone: float) -> csr_matrix:
    """Texts whose embeddings lie the closer together the higher `cone`, and n-grams: 20 that many have, and 20."""
    embedding = RANDOM.normal(size=(50, WIDTH)) + cone
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    grams = RANDOM.random((50, 40)) * (RANDOM.random((50, 40)) < np.repeat([0.9, 0.3], 20))
    return hstack([csr_matrix(embedding), csr_matrix(grams)], format="csr")


@pytest.mark.parametrize("cone", [0.0, 5.0])
def test_both_blocks_are_spread_equally(cone: float) -> None:
    """Also where an encoder puts all texts close together: its embedding is not drowned by the n-grams."""
    train = features(cone=cone)
    scaled = train.toarray() * column_scales(train, WIDTH)
    assert spread(scaled[:, :WIDTH]) == pytest.approx(1.0)
    assert spread(scaled[:, WIDTH:]) == pytest.approx(1.0)


def test_rare_n_grams_count_for_more() -> None:
    """But for those of one text alone, which tell nothing of other texts."""
    train = features(cone=0.0).toarray()
    train[:, -1], train[7, -1] = 0.0, 1.0
    scales = column_scales(csr_matrix(train), WIDTH)[WIDTH:]
    assert scales[:20].max() < scales[20:-1].min()
    assert scales[-1] == 0.0


@pytest.mark.parametrize("texts", [1, 3])
def test_texts_that_are_all_the_same_fail_nothing(texts: int) -> None:
    """There is no spread to go by, so the embedding stays as it is."""
    row = np.array([[0.6, 0.8, 0.0, 0.0, 1.0, 0.0]])
    scales = column_scales(np.repeat(row, texts, axis=0), WIDTH)
    assert np.isfinite(scales).all()
    assert scales[:WIDTH] == pytest.approx(1.0)
