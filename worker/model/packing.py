"""Several texts as one row of tokens, without padding: where each begins, and which lie together in equal lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Group(NamedTuple):
    """`texts` of `length` tokens each, one after the other from token `start`; they end before token `stop`."""

    start: int
    texts: int
    length: int

    @property
    def stop(self) -> int:
        return self.start + self.texts * self.length


@dataclass(frozen=True, slots=True)
class Pack:
    """Token ids and positions of n texts, int64 [tokens]. Texts of equal length must come one after the other.

    `bounds` int32 [n + 1]: text i is `ids[bounds[i]:bounds[i + 1]]`, as variable-length attention wants it.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    bounds: NDArray[np.int32]
    groups: tuple[Group, ...]


def pack(rows: Sequence[NDArray[np.int32]], first_position: int) -> Pack:
    """Concatenate texts, equal lengths together; each one's positions begin anew, at `first_position`.

    Families that begin behind their padding token's own position give that token, where a text names it, no other.
    """
    lengths = np.array([len(row) for row in rows], np.int64)
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.concatenate(rows).astype(np.int64)
    positions = np.arange(len(ids)) - np.repeat(bounds[:-1], lengths) + first_position
    if first_position and (ids == first_position - 1).any():
        positions = _uncounted(ids, first_position - 1, bounds)
    return Pack(ids, positions, bounds.astype(np.int32), _groups(lengths, bounds))


def _uncounted(ids: NDArray[np.int64], pad: int, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions that leave out padding tokens, which stand at `pad`."""
    counted = np.concatenate([[0], np.cumsum(ids != pad)])
    within = counted[1:] - np.repeat(counted[bounds[:-1]], np.diff(bounds))
    return np.where(ids == pad, pad, within + pad)


def _groups(lengths: NDArray[np.int64], bounds: NDArray[np.int64]) -> tuple[Group, ...]:
    first = np.flatnonzero(np.diff(lengths, prepend=-1))
    counts = np.diff(first, append=len(lengths))
    return tuple(map(Group, bounds[first].tolist(), counts.tolist(), lengths[first].tolist()))
