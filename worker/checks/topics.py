"""Whether the topics are what the worker needs: pure, over what was asked of the brokers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.checks.finding import Finding, error, ok, warning
from worker.checks.probes import Held
from worker.kafka.topics import TopicSpec, TopicState, shortcomings
from worker.types import Partition

OVERHEAD_BYTES = 32 * 1024  # of a result around its text: every label's score, metadata, headers
DURATIONS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))


@dataclass(frozen=True, slots=True)
class Promises:
    """What the settings ask of the topics. `carries_text`: results hold the text or the original."""

    create_topics: bool
    carries_text: bool
    max_bytes: int


def judge_topic(spec: TopicSpec, state: TopicState | None, promises: Promises, brokers: int) -> list[Finding]:
    """A topic's shortcomings, or one line with what it is, its id too: a topic made anew has another one."""
    if state is None:
        if promises.create_topics:
            return [warning("topic", spec.name, f"is missing ({spec.purpose})", "the worker will make it at its start")]
        return [error("topic", spec.name, f"is missing ({spec.purpose})", "make it with `tagstream topics create`")]
    findings = [_shortcoming(spec, line) for line in shortcomings(spec, state)]
    findings += [*_judge_size(spec, state, promises), *_judge_replicas(spec, state, brokers)]
    return findings or [ok("topic", spec.name, _description(spec, state))]


def judge_group(topic: str, topic_id: str | None, held: Mapping[Partition, Held], on_gap: str) -> Finding:
    """Whether the group's committed offsets are of this very topic, and still in it."""
    gone = {p: h for p, h in held.items() if h.committed is not None and h.committed < h.first}
    other = {p: h for p, h in held.items() if _is_of_another(h, topic_id)}
    if other:
        what = f"the group's offsets of {_names(other)} are of another topic of this name, deleted or cut since"
        do = "take another kafka.group_id, or reset the group's offsets with kafka-consumer-groups"
        return error("group", topic, what, do)
    if gone:
        lost = sum(h.first - (h.committed or 0) for h in gone.values())
        what = f"retention has taken {lost:,} records of {_names(gone)} that the group has not read"
        if on_gap == "skip":
            return warning("group", topic, what, "raise retention.ms, or run more workers")
        return error("group", topic, what, "set input.on_gap to skip to go on with what is there")
    fresh = sum(h.committed is None for h in held.values())
    waiting = sum(h.end - (h.first if h.committed is None else h.committed) for h in held.values())
    new = f", {fresh} of {len(held)} partitions without a committed offset" if fresh else ""
    return ok("group", topic, f"{waiting:,} offsets to read{new}")


def _is_of_another(held: Held, topic_id: str | None) -> bool:
    """By the id that was noted with the offset, or as the offset is after the end."""
    if held.committed is None:
        return False
    return held.committed > held.end or bool(held.topic_id and topic_id and held.topic_id != topic_id)


def _shortcoming(spec: TopicSpec, line: str) -> Finding:
    """A line of `shortcomings` is the topic, what is wrong, `: `, what to do. To lose originals is an error."""
    what, _, do = line.removeprefix(f"topic {spec.name} ").rpartition(": ")
    loses = spec.purpose != "output" and "cleanup.policy" in what
    return (error if loses else warning)("topic", spec.name, what, do)


def _judge_size(spec: TopicSpec, state: TopicState, promises: Promises) -> list[Finding]:
    limit = state.configs.get("max.message.bytes")
    needed = promises.max_bytes + OVERHEAD_BYTES
    if spec.purpose != "output" or not promises.carries_text or limit is None or int(limit) >= needed:
        return []
    what = f"takes {limit} bytes a record, a text may have text.max_bytes ({promises.max_bytes})"
    return [warning("topic", spec.name, what, f"raise its max.message.bytes to {needed}, or lower text.max_bytes")]


def _judge_replicas(spec: TopicSpec, state: TopicState, brokers: int) -> list[Finding]:
    in_sync = int(state.configs.get("min.insync.replicas", 1))
    if in_sync > state.replication_factor and spec.purpose != "input":
        what = f"wants {in_sync} replicas in sync and has {state.replication_factor}: nothing can be written"
        return [error("topic", spec.name, what, "lower its min.insync.replicas, or add replicas")]
    if state.replication_factor < 2 and brokers > 1:
        what = f"has one replica on a cluster of {brokers}: a broker that is lost takes records with it"
        return [warning("topic", spec.name, what, "give it three replicas")]
    return []


def _description(spec: TopicSpec, state: TopicState) -> str:
    facts = [f"{spec.purpose}, {state.partitions} partition{'s' if state.partitions != 1 else ''}"]
    if "cleanup.policy" in state.configs:
        facts.append(state.configs["cleanup.policy"])
    if "retention.ms" in state.configs:
        facts.append(f"kept {_duration(int(state.configs['retention.ms']))}")
    return ", ".join([*facts, f"id {state.id or 'unknown'}"])


def _duration(ms: int) -> str:
    if ms < 0:
        return "for ever"
    unit, size = next(((unit, size) for unit, size in DURATIONS if ms >= size), ("ms", 1))
    return f"{ms / size:g} {unit}" if ms % size == 0 else f"{ms / size:.1f} {unit}"


def _names(partitions: Mapping[Partition, Held]) -> str:
    names = [f"{p.topic}[{p.partition}]" for p in partitions]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
