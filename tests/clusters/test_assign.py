"""Assignment by a table, and the table's bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from worker.clusters.assign import assign
from worker.clusters.none import NoClusters
from worker.clusters.table import Table
from worker.frames import Frame

TABLE = Table(
    "t",
    3,
    (7, 9),
    np.eye(2, 3, dtype=np.float32),
    np.eye(2, 3, dtype=np.float32),
    np.array([5, 200]),
    np.array([5, 999]),
    np.array([1000, 2000]),
    threshold=0.5,
    names={7: "refund, card"},
)


def rows(*values: list[float]) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_nearest_centre_above_the_threshold():
    """A text has the id of its nearest centre; one far from all of them is unassigned, with its similarity."""
    found = assign(TABLE, rows([1, 0, 0], [0.6, 0.8, 0], [0, 0, 1], [0.25, 0, 0.97]))
    assert found.ids == [7, 9, None, None]
    assert found.similarity.tolist() == pytest.approx([1, 0.8, 0, 0.25])
    assert (found.table, found.version, found.names) == ("t", 3, {7: "refund, card"})


@pytest.mark.parametrize("threshold", [0.5, -1.0])
def test_rows_that_point_nowhere_are_unassigned(threshold):
    """NaN, infinite and zero rows are unassigned whatever the threshold, and harm no other row."""
    table = replace(TABLE, version=1, threshold=threshold)
    found = assign(table, rows([np.nan, 0, 0], [np.inf, 0, 0], [0, 0, 0], [3e38, 3e38, 0], [1, 0, 0]))
    assert found.ids == [None, None, None, None, 7]
    assert found.similarity.tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("count", [0, 3])
def test_before_the_first_table_everything_is_unassigned(count):
    """Under version 0 no text has a cluster; batches of any size, 0 included."""
    found = assign(Table("t"), np.ones((count, 3), dtype=np.float32))
    assert (found.ids, found.version, found.similarity.tolist()) == ([None] * count, 0, [0] * count)


def test_empty_batch():
    """No texts, no assignments."""
    found = assign(TABLE, np.zeros((0, 3), dtype=np.float32))
    assert (found.ids, len(found.similarity)) == ([], 0)


@given(hnp.arrays(np.float32, (5, 3), elements=st.floats(width=32)))
def test_any_rows_get_ids_of_the_table(embeddings):
    """Whatever the floats, ids are of the table or None, similarities are finite, and nothing warns."""
    found = assign(TABLE, embeddings)
    assert set(found.ids) <= {7, 9, None}
    assert np.isfinite(found.similarity).all()


def test_switched_off():
    """Without clusters every text is unassigned, and learning and closing do nothing."""
    clusters = NoClusters()
    found = clusters.assign(np.ones((2, 3), dtype=np.float32))
    clusters.learn(np.ones((2, 3), dtype=np.float32), ["a", "b"], [None, 5])
    clusters.close()
    assert (found.table, found.version, found.ids, found.similarity.tolist()) == ("", 0, [None, None], [0, 0])


@pytest.mark.parametrize("table", [TABLE, Table("leer ü")], ids=["full", "empty"])
def test_a_table_survives_its_bytes(table):
    """What one process writes is what the other reads."""
    back = Table.from_frame(Frame.from_bytes(table.to_frame().to_bytes()))
    assert (back.name, back.version, back.ids, back.names) == (table.name, table.version, table.ids, table.names)
    assert back.threshold == table.threshold
    np.testing.assert_array_equal(back.centres, table.centres)
    np.testing.assert_array_equal(back.counts, table.counts)
    np.testing.assert_array_equal(back.seen, table.seen)
    assert back.centres.dtype == np.float32
    assert back.centres.flags.aligned
