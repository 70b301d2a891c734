"""What one process writes is what the other reads."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from worker.frames import Frame

HEADERS = st.dictionaries(st.text(max_size=5), st.integers(-9, 9) | st.text(max_size=9) | st.none(), max_size=3)
TYPES = st.sampled_from([np.bool_, np.int32, np.int64, np.float32, np.uint8]).map(np.dtype)
ARRAYS = hnp.arrays(TYPES, hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=5))


@given(HEADERS, st.lists(ARRAYS, max_size=4))
def test_a_frame_survives_its_bytes(header, arrays):
    """Header, types, shapes and bits are the same; each array is aligned, whatever stands before it."""
    back = Frame.from_bytes(Frame(header, arrays).to_bytes())
    assert back.header == header
    assert len(back.arrays) == len(arrays)
    for one, other in zip(back.arrays, arrays, strict=True):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
        assert one.flags.aligned
        assert not one.flags.writeable


def test_any_layout_and_byte_order_can_be_sent():
    """Columns, slices and big-endian numbers arrive as the same values."""
    whole = np.arange(12, dtype=">i4").reshape(3, 4)
    arrays = (whole.T, whole[:, ::2], whole)
    for one, other in zip(Frame.from_bytes(Frame({}, arrays).to_bytes()).arrays, arrays, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == "<i4"
