"""A table for people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worker.clusters.report import SNAPSHOTS, Past, moved, neighbours, sizes
from worker.clusters.table import Table


def table_of(seen: dict[int, int], version: int = 1) -> Table:
    """Clusters that lie on a circle, one behind the other."""
    angles = np.linspace(0, 1, len(seen))
    centres = np.stack((np.cos(angles), np.sin(angles)), axis=1).astype(np.float32)
    return Table(
        name="default",
        version=version,
        ids=tuple(seen),
        centres=centres,
        anchors=centres[::-1].copy(),
        counts=np.full(len(seen), 5),
        seen=np.array(list(seen.values())),
        last_ms=np.full(len(seen), 1000),
        next_id=max(seen) + 1,
    )


def past_of(*tables: Table) -> Past:
    past = Past()
    for table in tables:
        past.note(table)
    return past


def test_the_largest_comes_first():
    """With its share of all samples, its name and what a person has said about it."""
    table = replace(table_of({1: 10, 2: 30}), names={2: "card"}, named=frozenset({2}), pinned=frozenset({1}))
    first, second = sizes(table, past_of(table))
    assert (first.id, first.name, first.named, first.pinned, first.share) == (2, "card", True, False, 0.75)
    assert (second.id, second.pinned, second.trend) == (1, True, None)


def test_a_trend_is_a_share_that_changes():
    """Not a number that grows, as all do."""
    before = table_of({1: 100, 2: 100, 3: 100, 4: 100})
    middle = table_of({1: 200, 2: 300, 3: 150, 4: 150})
    now = table_of({1: 300, 2: 320, 3: 430, 4: 150, 5: 130})
    past = past_of(before, middle, now)
    assert [past.trend(one) for one in now.ids] == ["steady", "shrinking", "growing", "quiet", "new"]


def test_what_a_cluster_took_in_is_no_growth():
    """Nor are versions without samples, such as those of orders, a half of the past."""
    tables = [table_of({1: 100, 2: 100, 3: 100}), table_of({1: 150, 2: 150, 3: 150}, 2)]
    tables += [table_of({1: 200, 2: 200, 3: 200}, 3), table_of({1: 200, 2: 200, 3: 200}, 4)]
    tables += [table_of({1: 400, 3: 200}, 5)]
    past = Past([(5, 1, 2)])
    for table in tables:
        past.note(table)
    assert (past.trend(1), past.trend(3)) == ("steady", "steady")


@pytest.mark.parametrize(("late", "trend"), [(5, None), (200, "growing")])
def test_few_samples_show_no_trend(late, trend):
    """Chance would."""
    tables = [table_of({1: 100, 2: 100}), table_of({1: 110, 2: 190}), table_of({1: 110 + late, 2: 190 + late // 5})]
    assert past_of(*tables).trend(1) == trend


def test_the_past_is_bounded():
    """However many versions there are; the first stays, and they are evenly spread."""
    past = Past()
    for version in range(1000):
        past.note(table_of({1: version, 2: version}, version))
    kept = [total for total, _ in past._snapshots]
    assert len(kept) <= SNAPSHOTS
    assert kept[0] == 0
    assert len(set(np.diff(kept).tolist())) == 1


def test_neighbours_are_the_nearest_centres():
    """The nearest first, and never the cluster itself."""
    table = table_of({1: 1, 2: 1, 3: 1, 4: 1})
    assert [one for one, _ in neighbours(table, 1, 2)] == [2, 3]
    assert neighbours(table, 1, 9)[0][1] == pytest.approx(float(np.cos(1 / 3)))
    assert moved(table, 1) == pytest.approx(float(np.cos(1)))
