"""What two centres are worth more than one, for a set of rows: the gain of a split, the cost of a merge.

Judged on rows that the centres were not made of: in hundreds of dimensions a few rows of noise always seem to be two
groups. The unit is the sum of cosines to the nearest centre, so gains and costs can be compared. Pure.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from worker.clusters.spherical import Matrix, lloyd, normalise

MIN_ROWS = 8  # of a cluster, to judge it by
NEIGHBOURS = 5  # nearest centres that a cluster might be merged with
STARTS, LLOYD_STEPS = 3, 6  # of a split

Groups = list[NDArray[np.intp]]


def gains(rows: Matrix, groups: Groups, random: np.random.Generator) -> dict[int, float]:
    """Of splitting each group that is large enough, by its place."""
    return {
        place: _worth(rows[group], lambda part, _: halves(part, random), random)
        for place, group in enumerate(groups)
        if len(group) >= 2 * MIN_ROWS
    }


def costs(rows: Matrix, groups: Groups, centres: Matrix, random: np.random.Generator) -> dict[tuple[int, int], float]:
    """Of merging each group with those next to it, by their places."""
    large = np.array([len(group) >= MIN_ROWS for group in groups])
    cosines = np.where(large, centres @ centres.T, -np.inf)
    np.fill_diagonal(cosines, -np.inf)
    found: dict[tuple[int, int], float] = {}
    for one in np.flatnonzero(large).tolist():
        for other in np.argsort(-cosines[one], kind="stable")[:NEIGHBOURS].tolist():
            pair = (min(one, other), max(one, other))
            if large[other] and one != other and pair not in found:
                found[pair] = _cost(rows, groups[pair[0]], groups[pair[1]], random)
    return found


def halves(rows: Matrix, random: np.random.Generator) -> Matrix:
    """Two centres: the best of some starts."""
    return max((_two_means(rows, random) for _ in range(STARTS)), key=lambda two: float(_closeness(rows, two)))


def mean(rows: Matrix) -> Matrix:
    """Their direction, [1, d]."""
    return normalise(rows.sum(axis=0, keepdims=True))


def _cost(rows: Matrix, one: NDArray[np.intp], other: NDArray[np.intp], random: np.random.Generator) -> float:
    second = np.repeat([False, True], [len(one), len(other)])

    def apart(part: Matrix, places: NDArray[np.intp]) -> Matrix:
        return np.concatenate((mean(part[~second[places]]), mean(part[second[places]])))

    return _worth(rows[np.concatenate((one, other))], apart, random)


def _worth(rows: Matrix, two: Callable[[Matrix, NDArray[np.intp]], Matrix], random: np.random.Generator) -> float:
    """Centres of each half of the rows, judged on the other half."""
    order = random.permutation(len(rows))
    first, second = np.array_split(order, 2)
    total = 0.0
    for learned, judged in ((first, second), (second, first)):
        centres = two(rows[learned], learned)
        total += _closeness(rows[judged], centres) - _closeness(rows[judged], mean(rows[learned]))
    return total


def _closeness(rows: Matrix, centres: Matrix) -> float:
    return float((rows @ centres.T).max(axis=1).sum())


def _two_means(rows: Matrix, random: np.random.Generator) -> Matrix:
    """k-means++ for two, on the sphere."""
    one = int(random.integers(len(rows)))
    far = np.maximum(1 - rows @ rows[one], 0).astype(np.float64)
    total = far.sum()
    other = int(random.choice(len(rows), p=far / total)) if total > 0 else one
    centres = rows[[one, other]]
    for _ in range(LLOYD_STEPS):
        centres = lloyd(rows, centres)
    return centres
