"""Whether what is in the input can be read: pure, over a sample of it. Findings never hold a text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import orjson

from schemas import Reason
from worker.checks.finding import Finding, error, ok, warning
from worker.types import DeadLetter, Decode, Record

SKEW_S = 5.0  # more than a stamp on its way, less than what spoils latencies and `--until TIME`
MAIL_HEADERS = re.compile(rb"(?:From .*\n)?[!-9;-~]{1,70}:.*\n(?:[ \t].*\n)*[!-9;-~]{1,70}:")
FRAME_BYTES = 5


def judge_sample(topic: str, records: Sequence[Record], decode: Decode, format: str) -> list[Finding]:
    """What the worker would make of the newest records of a topic that is read as `format`."""
    values = [record.value for record in records if record.value is not None]
    if not values:
        return [ok("input", topic, "no records to look at")]
    dead = Counter(str(d.reason) for d in map(decode, records) if isinstance(d, DeadLetter))
    if format == "text" and (suspect := _suspect(values, format)):
        return [_misread(topic, len(values), format, suspect)]
    if not dead:
        return [ok("input", topic, f"the newest {len(records)} records can be read as {format}")]
    what = f"{dead.total()} of the newest {len(records)} records would be dead letters ({_counts(dead)})"
    if dead.total() < len(records):
        return [warning("input", topic, what, "look at them with `tagstream dlq show` once the worker runs")]
    if dead[Reason.UNSUPPORTED_FRAMING] == len(records):
        return [error("input", topic, what, "have the producer write JSON; Avro and Protobuf are not read")]
    if suspect := _suspect(values, format):
        return [_misread(topic, len(values), format, suspect)]
    return [error("input", topic, what, "see input.format, input.fields and text.max_bytes")]


def _misread(topic: str, count: int, format: str, suspect: str) -> Finding:
    what = f"the newest {count} values look like {suspect}, input.format is {format}"
    return error("input", topic, what, f"set input.format to {suspect.split()[0]} for this topic")


def judge_stamps(records: Sequence[Record], now_s: float) -> list[Finding]:
    """Records from the future: a clock is wrong, ours or a producer's."""
    ahead = [r.timestamp_ms / 1000 - now_s for r in records if r.timestamp_ms is not None]
    future = [seconds for seconds in ahead if seconds > SKEW_S]
    if not future:
        return []
    what = f"{len(future)} of the newest {len(records)} records are stamped up to {max(future):,.0f} s in the future"
    return [warning("clock", "", what, "set this machine's or the producers' clock with NTP")]


def judge_keys(records: Sequence[Record], compacted: Sequence[str]) -> list[Finding]:
    """Records without key, which goes from the input into results and dead letters, and topics that take none such."""
    without = sum(record.key is None for record in records)
    if not without or not compacted:
        return []
    what = f"{without} of the newest {len(records)} records have no key, which {', '.join(compacted)} (compacted) wants"
    return [error("input", "", what, "set cleanup.policy to delete there, or have the producers send keys")]


def judge_clock(ahead_s: float | None) -> list[Finding]:
    """The brokers' clock against ours; nothing where it is not known."""
    if ahead_s is None:
        return []
    if abs(ahead_s) <= SKEW_S:
        return [ok("clock", "", f"within {SKEW_S:g} s of the brokers'")]
    which = "behind" if ahead_s > 0 else "ahead of"
    what = f"this machine is {abs(ahead_s):,.0f} s {which} the brokers"
    return [warning("clock", "", what, "set the clock with NTP: lag and latency are computed with it")]


def _suspect(values: Sequence[bytes], format: str) -> str | None:
    """The format that all values look like, if it is another one."""
    if format != "json" and all(map(_is_framed_json, values)):
        return "json (behind schema-registry framing)"
    if format != "json" and all(map(_is_json_object, values)):
        return "json"
    if format == "json" and all(map(MAIL_HEADERS.match, values)):
        return "mail"
    if format == "json" and all(map(_is_text, values)):
        return "text"
    return None


def _is_framed_json(value: bytes) -> bool:
    return value[:1] == b"\0" and _is_json_object(value[FRAME_BYTES:])


def _is_json_object(value: bytes) -> bool:
    try:
        return isinstance(orjson.loads(value), dict)
    except orjson.JSONDecodeError:
        return False


def _is_text(value: bytes) -> bool:
    try:
        printable = value.decode().isprintable() or b"\n" in value
    except UnicodeDecodeError:
        return False
    return printable and not _is_json_object(value)


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
