"""What the columns of a head's features are multiplied by for its fit, which holds all weights back alike.

Encoders differ in how far apart their texts lie, and rare n-grams say more than frequent ones. A fitted weight times
its column's scale is the weight for the column as it was, so that at run time nothing of this is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, diags, issparse

from worker.evaluation.answers import Numbers

Matrix = Any  # [n, columns]: an array or a sparse matrix by rows

ROUNDING = 1e-9  # what a difference of such sums may be off by, and more
LEAST_TEXTS = 2  # with an n-gram: of one alone nothing general is learned, and they are most of all n-grams


def column_scales(train: Matrix, width: int) -> Numbers:
    """Of the embedding, the first `width` columns, and of the n-grams behind it: each block is spread equally then.

    N-grams that too few texts have get 0.
    """
    embedding, grams = train[:, :width], train[:, width:]
    scales = np.full(train.shape[1], 1 / _spread(embedding))
    if grams.shape[1]:
        rarity = _rarity(csr_matrix(grams))
        scales[width:] = rarity / _spread(grams @ diags(rarity))
    return scales


def _rarity(grams: csr_matrix) -> Numbers:
    """Inverse document frequencies, as sklearn smooths them."""
    texts, having = grams.shape[0], np.bincount(grams.indices, minlength=grams.shape[1])
    return np.where(having < LEAST_TEXTS, 0.0, 1 + np.log((1 + texts) / (1 + having)))


def _spread(rows: Matrix) -> float:
    """How far from their middle the rows lie; 1 if all are the same."""
    squares = (rows.multiply(rows).sum() if issparse(rows) else np.square(rows).sum()) / rows.shape[0]
    apart = squares - np.square(np.asarray(rows.mean(axis=0))).sum()
    return float(np.sqrt(apart)) if apart > ROUNDING * squares else 1.0
