"""One frame between two processes of ours: a JSON header and arrays, raw and little-endian. No pickle."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

_LENGTH = struct.Struct("<Q")
_ALIGNED = 8  # bytes: where each array begins, as unaligned ones slow every product


class Frame(NamedTuple):
    """`header` must be JSON; `arrays` are of booleans or numbers."""

    header: dict[str, Any]
    arrays: Sequence[NDArray[Any]] = ()

    def to_bytes(self) -> bytes:
        arrays = [np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for array in self.arrays]
        layout = [(array.dtype.str, array.shape) for array in arrays]
        head = orjson.dumps({"header": self.header, "layout": layout})
        head += b" " * _gap(len(head))
        pieces: list[Any] = [_LENGTH.pack(len(head)), head]
        for array in arrays:
            pieces += (array.tobytes() if not array.size else array.data, bytes(_gap(array.nbytes)))
        return b"".join(pieces)

    @classmethod
    def from_bytes(cls, data: bytes) -> Frame:
        """The arrays lie in `data` itself: no copies, and read-only."""
        (length,) = _LENGTH.unpack_from(data)
        offset = _LENGTH.size + length
        head = orjson.loads(memoryview(data)[_LENGTH.size : offset])
        arrays = []
        for dtype, shape in head["layout"]:
            array: NDArray[Any] = np.ndarray(shape, dtype, data, offset)
            arrays.append(array)
            offset += array.nbytes + _gap(array.nbytes)
        return cls(head["header"], tuple(arrays))


def _gap(size: int) -> int:
    return -size % _ALIGNED
