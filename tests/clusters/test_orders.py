"""What people order about clusters, and that it outlives refreshes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.clusters.test_learner import blobs, samples
from worker.clusters.draft import Draft
from worker.clusters.learner import Learner
from worker.clusters.orders import Order
from worker.clusters.recipe import Recipe
from worker.clusters.samples import Samples
from worker.clusters.spherical import normalise
from worker.clusters.table import Table
from worker.clusters.wire import ORDER_KEY, order_of, order_record

WARMUP, STEP = 60, 256
# Swaps are cheap, drifts are near, and nothing sleeps long: without pins no id is safe.
NERVOUS = Recipe(k=6, warmup=WARMUP, swap_ratio=0.1, drift_cosine=0.99, dormant_after_ms=10_000)


def begun(*, size: int = 300) -> Learner:
    """Four clusters."""
    learner = Learner(Recipe(k=4, warmup=300))
    rows, _ = blobs(size)
    learner.learn(samples(rows, words=[["red", "card"]] * size))
    return learner


def troubled(learner: Learner, steps: int) -> None:
    """Topics that come and go for ever."""
    random = np.random.default_rng(7)
    for step in range(steps):
        if step % 5 == 0:
            topics = random.normal(size=(6, 8))
        rows = topics[random.integers(0, 6, STEP)] + random.normal(size=(STEP, 8)) * 0.1
        positions = WARMUP + step * STEP + np.arange(STEP)
        learner.learn(Samples(normalise(rows.astype(np.float32)), [["a", "b"]] * STEP, positions * 1000, positions))


def nervous() -> Learner:
    learner = Learner(NERVOUS)
    rows, _ = blobs(WARMUP, topics=6)
    learner.learn(samples(rows))
    learner.take_events()
    return learner


def test_an_order_is_a_version_of_its_own():
    """It is done at once, and says where the stream is."""
    learner = begun()
    assert learner.obey(Order("rename", (2,), "Lost cards"), 300)
    table = learner.table
    assert (table.version, table.position, table.names[2], table.named) == (2, 301, "Lost cards", {2})
    (event,) = [event for event in learner.take_events() if event.kind == "renamed"]
    assert (event.parents, event.children, event.reason) == ((2,), (2,), "by hand")


def test_what_waits_before_an_order_is_learned_first():
    """Where the order stands in the stream decides, not how the calls were cut: nothing is lost or learned twice."""
    rows, _ = blobs(400)
    tables = []
    for cut in (300, 350):
        learner = begun()
        learner.learn(samples(rows[300:cut], 300))
        learner.learn(samples(rows[cut:], cut))
        assert learner.obey(Order("pin", (1,)), 400)
        tables.append(learner.table)
    assert {int(table.seen.sum()) for table in tables} == {400}
    assert {table.version for table in tables} == {3}
    np.testing.assert_array_equal(tables[0].centres, tables[1].centres)


@pytest.mark.parametrize(
    "order", [Order("pin", (9,)), Order("merge", (1, 9)), Order("merge", (1, 1)), Order("merge", (1,))]
)
def test_an_order_for_what_is_not_there_changes_nothing(order):
    """Nor does one before the first table, or one that was carried out already."""
    learner = begun()
    before = learner.table
    assert not learner.obey(order, 300)
    assert not learner.obey(Order("pin", (1,)), 299)
    assert learner.table is before
    assert not Learner(Recipe()).obey(Order("pin", (1,)), 0)


def test_a_merge_by_hand_is_lineage():
    """The first goes on for both, with a centre between them; the other has ended, and an event says so."""
    learner = begun()
    before = learner.table
    learner.take_events()
    learner.obey(Order("merge", (3, 1)), 300)
    after = learner.table
    assert (after.ids, after.pinned) == ((2, 3, 4), {3})
    assert after.seen.sum() == before.seen.sum()
    assert after.seen[1] == before.seen[0] + before.seen[2]
    assert 0 < float(after.centres[1] @ before.centres[0]) < 1
    (event,) = [event for event in learner.take_events() if event.kind == "merged"]
    assert (event.parents, event.children, event.reason) == ((3, 1), (3,), "by hand")
    learner.learn(samples(blobs(256, seed=3)[0], 301))
    assert learner.table.version == 3


def test_without_a_pin_no_id_is_safe_here():
    """Else the next test would show little."""
    learner = nervous()
    ids = set(learner.table.ids)
    troubled(learner, 40)
    assert not ids & set(learner.table.ids)


def test_a_pinned_cluster_keeps_its_id_and_its_name():
    """Whatever its topic does: it is never merged away, split, retired, drifted or renamed."""
    learner = nervous()
    for one in (1, 2, 3):
        learner.obey(Order("rename", (one,), f"Name {one}"), learner.table.position)
        learner.obey(Order("pin", (one,)), learner.table.position)
    troubled(learner, 40)
    table = learner.table
    assert {1, 2, 3} <= set(table.ids)
    assert table.pinned == {1, 2, 3}
    told = [event for event in learner.take_events() if event.kind != "merged" and event.reason != "by hand"]
    assert not {1, 2, 3} & {one for event in told for one in event.parents}
    assert [table.names[one] for one in (1, 2, 3)] == ["Name 1", "Name 2", "Name 3"]


def test_a_person_lets_go_again():
    """`pin --off` and `rename --off`: the cluster is like all others."""
    learner = begun()
    orders = [Order("pin", (1,)), Order("rename", (1,), "x"), Order("unpin", (1,)), Order("rename", (1,), None)]
    for position, order in enumerate(orders, 300):
        assert learner.obey(order, position)
    assert (learner.table.pinned, learner.table.named) == (frozenset(), frozenset())


def test_an_order_comes_back_from_its_topic():
    """One for another table is passed over, one that cannot be read is told."""
    order = Order("rename", (3,), "Überweisung")
    key, value = order_record("default", order)
    assert key == ORDER_KEY
    assert order_of(value, "default") == order
    assert order_of(value, "news") is None
    for wrong in (None, b"{", b'{"schema_version":2,"table":"default","kind":"pin","ids":[1]}'):
        with pytest.raises(ValueError, match=r"validation error"):
            order_of(wrong, "default")


def test_what_a_person_said_is_in_the_frame():
    """A learner in its process, and the one after it, know pins and names."""
    table = replace(begun().table, pinned=frozenset({2}), named=frozenset({3}))
    again = Table.from_frame(table.to_frame())
    assert (again.pinned, again.named) == ({2}, {3})


@pytest.mark.parametrize("said", [{"pinned": frozenset({2})}, {"named": frozenset({2})}])
def test_what_a_person_knows_keeps_its_id_in_a_merge(said):
    """However light it is; of two pinned ones, or two that are not, the heavier does."""
    table = replace(begun().table, counts=np.array([90, 10, 20, 20]))
    draft = Draft(replace(table, **said), 200)
    assert draft.merge(0, 1) == 0
    assert draft.events[0].children == (2,)
    assert Draft(table, 200).merge(0, 1) == 1
