"""One frame between the worker and its learner: a JSON header and a float32 matrix. No pickle."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

_LENGTH = struct.Struct("<I")


def pack(header: dict[str, Any], matrix: NDArray[np.float32]) -> bytes:
    """The bytes of a frame; `header` must be JSON."""
    head = orjson.dumps({**header, "shape": matrix.shape})
    return b"".join((_LENGTH.pack(len(head)), head, np.ascontiguousarray(matrix, dtype="<f4").tobytes()))


def unpack(frame: bytes) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Header and matrix of a frame that `pack` made."""
    (length,) = _LENGTH.unpack_from(frame)
    body = _LENGTH.size + length
    header = orjson.loads(frame[_LENGTH.size : body])
    matrix = np.frombuffer(frame, dtype="<f4", offset=body).reshape(header.pop("shape"))
    return header, matrix.astype(np.float32)  # a copy: in the frame it is not aligned, which slows every product
