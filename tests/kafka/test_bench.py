"""The benchmark's parts on a real Kafka, with little of everything."""

from __future__ import annotations

from kafka import KafkaAdminClient

from worker.bench.arena import Arena
from worker.bench.comparisons import Comparisons, Effort, Findings
from worker.bench.texts import as_values, load_texts
from worker.bench.trial import Request, measure
from worker.kafka.security import Connection

LITTLE = Effort(
    rounds=1,
    delivery_rounds=1,
    records=3000,
    flat_records=3000,
    model_texts=0,
    model_batches=(),
    visits=0,
    saturated_texts=0,
)


def _arena(bootstrap: str) -> Arena:
    return Arena(Connection(bootstrap=bootstrap), replication_factor=1)


def test_a_worker_is_measured_over_its_whole_topic(kafka: str) -> None:
    """Every record is counted; CPU is told by thread."""
    with _arena(kafka) as arena:
        topic = arena.input("in", as_values(load_texts(None, 900)), 3)
        assignments = arena.assignments(topic, "batch.max_records=50")
        figures = measure(Request(kind="worker", assignments=assignments, engine="stand_in"))
    assert figures["records"] == 900
    assert figures["records_per_s"] > 0
    assert {"MainThread", "prepare", "infer", "deliver"} <= set(figures["cpu_us_by_thread"])


def test_an_idle_worker_is_visited(kafka: str) -> None:
    """Each text's result is waited for before the next is sent, and then the worker stops."""
    with _arena(kafka) as arena:
        assignments = arena.assignments(arena.input("in", [], 1))
        figures = measure(Request(kind="single", assignments=assignments, engine="stand_in", texts=5))
    assert figures["visits"] == 5
    assert figures["end_to_end_p50_s"] > 0


def test_results_stay_off_the_topics_of_the_users_routes(kafka: str) -> None:
    """Routes in the settings are for the user's stream, not for texts that somebody measures with."""
    with _arena(kafka) as arena:
        topic = arena.input("in", as_values(load_texts(None, 300)), 1)
        assignments = arena.assignments(topic, "batch.max_records=50", "policy.routes={four: not-there}")
        figures = measure(Request(kind="worker", assignments=assignments, engine="stand_in"))
    assert figures["records"] == 300


def test_nothing_is_left_behind(kafka: str) -> None:
    """Topics and groups are gone when the arena is."""
    with _arena(kafka) as arena:
        topic = arena.input("in", as_values(load_texts(None, 300)), 1)
        measure(Request(kind="worker", assignments=arena.assignments(topic, "batch.max_records=50"), engine="stand_in"))
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    try:
        assert not [t["name"] for t in admin.describe_topics() if t["name"].startswith("tagstream-bench-")]
        assert not [g["group_id"] for g in admin.list_groups() if g["group_id"].startswith("tagstream-bench-")]
    finally:
        admin.close()


def test_a_comparison_ends_in_targets(kafka: str) -> None:
    """Three targets without a model, each measured."""
    with _arena(kafka) as arena:
        comparisons = Comparisons(
            arena=arena, effort=LITTLE, config=None, given=("batch.max_bytes=200000",), folder=None, say=lambda _: None
        )
        found = Findings()
        comparisons._without_model(found)
    assert len(found.targets) == 3
    assert all(target.value is not None for target in found.targets)
