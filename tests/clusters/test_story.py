"""The history of ids as a tree."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.clusters import ClusterEvent
from worker.clusters.story import Story

BEGAN = datetime(2026, 11, 1, 8, tzinfo=UTC)


def event(hour: int, kind: Any, parents: list[int], children: list[int], reason: str = "why", **names: str):
    return ClusterEvent(
        table="default",
        version=hour + 1,
        kind=kind,
        parents=parents,
        children=children,
        count=40,
        at=BEGAN + timedelta(hours=hour),
        reason=reason,
        names={name.removeprefix("n"): value for name, value in names.items()},
    )


EVENTS = [
    event(0, "born", [], [1], "found in the warm-up", n1="card"),
    event(0, "born", [], [2], "found in the warm-up", n2="rate"),
    event(1, "split", [1], [1, 3], "it held two topics", n1="card", n3="refund"),
    event(2, "drifted", [3], [4], "its topic has moved away", n3="refund", n4="fee"),
    event(3, "merged", [1, 2], [1], "they had become one topic", n1="card", n2="rate"),
    event(4, "renamed", [1], [1], "by hand", n1="Cards"),
    event(5, "retired", [4], [], "no text has come near it for long", n4="fee"),
]


def test_the_lineage_reads_like_a_story():
    """Who was born, what came out of it, what became of it: a branch for each id, an ended one with its mark."""
    assert list(Story(EVENTS, {1: "Cards"}).lines()) == [
        "1 “Cards”",
        "├─ 2026-11-01 08:00  born: found in the warm-up (40 texts)",
        "├─ 2026-11-01 09:00  split: it held two topics (40 texts)",
        "│  └─ 3 “refund” †",
        "│     └─ 2026-11-01 10:00  its topic has moved away: goes on as 4 “fee”",
        "│        └─ 4 “fee” †",
        "│           └─ 2026-11-01 13:00  retired: no text has come near it for long",
        "├─ 2026-11-01 11:00  took in 2 “rate”: they had become one topic (40 texts)",
        "└─ 2026-11-01 12:00  called “Cards”: by hand",
        "2 “rate” †",
        "├─ 2026-11-01 08:00  born: found in the warm-up (40 texts)",
        "└─ 2026-11-01 11:00  went into 1 “card”: they had become one topic (40 texts)",
    ]


def test_one_id_has_its_own_tree():
    """From the root that it comes from."""
    story = Story(EVENTS, {})
    assert next(iter(story.lines(4))).startswith("1 ")
    assert next(iter(story.lines(2))).startswith("2 ")
    with pytest.raises(KeyError):
        list(story.lines(9))


def test_a_beginning_that_is_lost_is_no_end():
    """Where the first events are gone, an id stands by itself."""
    assert next(iter(Story(EVENTS[3:4], {}).lines())) == "3 “refund” †"


@given(st.integers(1, 3000))
def test_a_chain_may_be_as_long_as_the_years(length):
    """Every id is there, and nothing is too deep."""
    chain = [event(0, "born", [], [1])]
    chain += [event(one, "drifted", [one], [one + 1]) for one in range(1, length)]
    lines = list(Story(chain, {}).lines())
    assert len(lines) == 2 * length
