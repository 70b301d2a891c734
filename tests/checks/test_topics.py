"""Whether topics are what the worker needs."""

from __future__ import annotations

import pytest

from worker.checks.probes import Held
from worker.checks.topics import Promises, judge_group, judge_topic
from worker.kafka.topics import Purpose, TopicSpec, TopicState
from worker.types import Partition

STRICT = Promises(create_topics=False, carries_text=True, max_bytes=1000)
CONFIGS = {"cleanup.policy": "delete", "retention.ms": "604800000", "max.message.bytes": "1048588"}


def spec(purpose: Purpose = "output") -> TopicSpec:
    return TopicSpec("t", purpose, 3, 1, {"max.message.bytes": "1100000"} if purpose == "dead letters" else {})


def state(replicas: int = 1, **configs: str) -> TopicState:
    named = {name.replace("_", "."): value for name, value in configs.items()}
    return TopicState("t", "id-1", 3, replicas, CONFIGS | named)


def test_a_good_topic_is_one_line_with_its_id() -> None:
    """The id is what tells a topic from one of the same name made anew."""
    (finding,) = judge_topic(spec(), state(), STRICT, brokers=1)
    assert str(finding) == "topic t: output, 3 partitions, delete, kept 7 d, id id-1"


@pytest.mark.parametrize(("create", "severity"), [(False, "error"), (True, "warning")])
def test_a_missing_topic(create: bool, severity: str) -> None:
    """It is an error, except where the worker makes it."""
    (finding,) = judge_topic(spec(), None, Promises(create, carries_text=False, max_bytes=1), brokers=1)
    assert (finding.severity, finding.where) == (severity, "t")


@pytest.mark.parametrize(
    ("purpose", "found", "brokers", "severity", "words"),
    [
        ("dead letters", state(cleanup_policy="compact"), 1, "error", "set it to delete"),
        ("replay", state(cleanup_policy="compact,delete"), 1, "error", "set it to delete"),
        ("output", state(cleanup_policy="compact"), 1, "warning", "takes none without"),
        ("dead letters", state(max_message_bytes="900"), 1, "warning", "loses its value"),
        ("output", state(max_message_bytes="900"), 1, "warning", "raise its max.message.bytes"),
        ("output", state(2, min_insync_replicas="3"), 3, "error", "nothing can be written"),
        ("output", state(), 3, "warning", "one replica"),
    ],
    ids=[
        "compacted dead letters",
        "compacted replay",
        "compacted output",
        "small dead letters",
        "too small for texts",
        "too few replicas to write",
        "one replica of many brokers",
    ],
)
def test_shortcomings(purpose: Purpose, found: TopicState, brokers: int, severity: str, words: str) -> None:
    """Each has its severity and what to do about it."""
    finding = judge_topic(spec(purpose), found, STRICT, brokers)[0]
    assert finding.severity == severity
    assert words in str(finding)
    assert finding.do


@pytest.mark.parametrize(
    ("committed", "on_gap", "severity", "words"),
    [
        (None, "stop", "ok", "50 offsets to read, 1 of 1 partitions without"),
        (100, "stop", "ok", "0 offsets to read"),
        (40, "stop", "error", "retention has taken 10 records"),
        (40, "skip", "warning", "retention has taken 10 records"),
        (101, "skip", "error", "of another topic"),
    ],
    ids=["new group", "all read", "a gap", "a gap to skip", "beyond the end"],
)
def test_the_groups_place(committed: int | None, on_gap: str, severity: str, words: str) -> None:
    """Committed offsets outside of what the topic holds are told before a worker stops on them."""
    finding = judge_group("t", "id-1", {Partition("t", 0): Held(50, 100, committed)}, on_gap)
    assert finding.severity == severity
    assert words in str(finding)


@pytest.mark.parametrize(("noted", "severity"), [("id-0", "error"), ("id-1", "ok"), ("", "ok")])
def test_a_topic_made_anew(noted: str, severity: str) -> None:
    """Offsets that were noted under another id are of another topic, even where they would fit."""
    assert judge_group("t", "id-1", {Partition("t", 0): Held(50, 100, 60, noted)}, "stop").severity == severity
