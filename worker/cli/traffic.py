"""`tagstream produce` and `tagstream tail`: texts in, results out, for people."""

from __future__ import annotations

import itertools
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from worker.cli.clusterlines import topic_line
from worker.cli.options import print_json, with_json, with_settings
from worker.errors import SettingsError, Stop

if TYPE_CHECKING:
    from worker.settings import Settings
    from worker.types import Record

MAX_UNACKNOWLEDGED = 5000  # the client does not bound its memory


@click.command()
@click.argument("topic")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--key-field", metavar="NAME", help="Top-level field of the JSON objects that becomes the key.")
@click.option("--raw", is_flag=True, help="Send each line as it is, whatever it is.")
@click.option("--mbox", is_flag=True, help="FILE is an mbox, one record a mail; known by the endings .mbox, .eml.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Records a second; default: as fast as it goes.")
@with_settings
@with_json
def produce(
    topic: str,
    file: IO[bytes],
    key_field: str | None,
    raw: bool,
    mbox: bool,
    rate: float | None,
    settings: Settings,
    as_json: bool,
) -> None:
    """Send the lines of FILE (default: stdin) to TOPIC, or the mails of an mbox.

    A line that is a JSON object is sent as it is; any other becomes {"text": line}. Blank lines are passed over.
    """
    from worker.files.formats import guess

    began = time.monotonic()
    if mbox or guess(Path(file.name).suffix, "text", b"") == "mbox":
        records = mails(file, settings.text.max_bytes)
    else:
        records = messages(file, key_field, raw=raw)
    sent = _send(settings, topic, paced(records, rate))
    seconds = time.monotonic() - began
    if as_json:
        print_json({"topic": topic, "sent": sent, "seconds": round(seconds, 3)})
    else:
        click.echo(f"{sent} records sent to {topic} in {seconds:.1f} s")


@click.command()
@click.argument("topics", nargs=-1)
@click.option("--from-beginning", is_flag=True, help="Everything that is there, not only what comes.")
@click.option("-n", "most", type=click.IntRange(1), help="Stop after so many records.")
@click.option("--until", type=click.Choice(["end"]), help="Stop at the end of what is there.")
@click.option("--count", is_flag=True, help="At the end, only how many of each topic and label, or reason.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a record, the message in it.")
@with_settings
def tail(
    topics: tuple[str, ...],
    from_beginning: bool,
    most: int | None,
    until: str | None,
    count: bool,
    as_json: bool,
    settings: Settings,
) -> None:
    """Show the records of TOPICS (default: all outputs) as they are committed.

    A result is a line of label, score, topic, cluster and id; texts, and the vectors of clusters, are only shown with
    --json.
    """
    from worker.kafka.reading import Reader
    from worker.kafka.security import Connection

    if count and not (until or most):
        raise SettingsError("--count waits for an end: give --until end, or -n")
    with Reader(Connection.of(settings.kafka).client_options()) as reader:
        spans = reader.spans(reader.partitions(topics or settings.output_topics()))
        starts = {partition: span[0] if from_beginning else span[1] for partition, span in spans.items()}
        ends = {partition: span[1] for partition, span in spans.items()}
        pieces = reader.read(starts, ends) if until else reader.follow(starts)
        records = itertools.islice(itertools.chain.from_iterable(pieces), most)
        if count:
            _show_counts(Counter((record.topic, verdict(record)) for record in records), as_json=as_json)
            return
        for record in records:
            click.echo(json_line(record) if as_json else human_line(record))


def mails(file: Iterable[bytes], most: int) -> Iterator[tuple[bytes | None, bytes]]:
    """A record for each mail of an mbox, without the line that begins it; of a mail above `most` bytes so much."""
    from worker.files.formats import mbox_values

    return ((None, mail) for mail in mbox_values(file, most))


def messages(file: Iterable[bytes], key_field: str | None, *, raw: bool) -> Iterator[tuple[bytes | None, bytes]]:
    """A record for each line that shows anything."""
    lines = (line.rstrip(b"\r\n") for line in file)
    return ((None, line) if raw else message(line, key_field) for line in lines if line.strip())


def message(line: bytes, key_field: str | None = None) -> tuple[bytes | None, bytes]:
    """Key and value for a line of text or of JSON."""
    found = _json(line)
    if not isinstance(found, dict):
        import orjson

        return None, orjson.dumps({"text": line.decode("utf-8", "replace")})
    key = found.get(key_field) if key_field else None
    return (None if key is None else str(key).encode()), line


def paced(items: Iterable[Any], rate: float | None) -> Iterator[Any]:
    """The items, no faster than `rate` a second."""
    began = time.monotonic()
    for number, item in enumerate(items):
        if rate and (early := began + number / rate - time.monotonic()) > 0:
            time.sleep(early)
        yield item


def human_line(record: Record) -> str:
    """80 columns: label, score, topic, cluster, id; for a dead letter its reason and where it came from."""
    from schemas import headers

    told = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
    if headers.ERROR_REASON in told:
        source = f"{told.get(headers.SOURCE_TOPIC, '?')}[{told.get(headers.SOURCE_PARTITION, '?')}]"
        return _line("DEAD", "", told[headers.ERROR_REASON], "", f"{source}@{told.get(headers.SOURCE_OFFSET, '?')}")
    value = _json(record.value or b"")
    clusters = topic_line(record.key, value if record.value is not None else None)
    if clusters is not None:
        return clusters
    if isinstance(value, dict) and "schema_version" in value:
        return _line(value["label"], value["score"], record.topic, _cluster(value.get("clusters")), value["id"])
    cluster = told.get(headers.CLUSTER, "")
    score = told.get(headers.SCORE, "")
    return _line(told.get(headers.LABEL), score, record.topic, cluster, told.get(headers.ID, str(record)))


def verdict(record: Record) -> str:
    """Its label, a dead letter's reason, or - where there is neither."""
    from schemas import headers

    told = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
    value = _json(record.value or b"")
    label = value.get("label") if isinstance(value, dict) and "schema_version" in value else told.get(headers.LABEL)
    return told.get(headers.ERROR_REASON) or label or "-"


def json_line(record: Record) -> str:
    """One object: coordinates, key, headers, and the value as JSON if it is, else as text."""
    import orjson

    value = _json(record.value or b"")
    told = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": _text(record.key),
        "headers": [[name, _text(header)] for name, header in record.headers],
        "value": value if value is not None else _text(record.value),
    }
    return orjson.dumps(told).decode()


def _show_counts(counts: Counter[tuple[str, str]], *, as_json: bool) -> None:
    if as_json:
        rows = [{"topic": topic, "label": label, "records": count} for (topic, label), count in sorted(counts.items())]
        print_json({"counts": rows})
        return
    for (topic, label), count in sorted(counts.items()):
        click.echo(f"{_fit(topic, 24)} {_fit(label, 24)} {count:>9,}")


def _send(settings: Settings, topic: str, records: Iterable[tuple[bytes | None, bytes]]) -> int:
    from worker.kafka.client import make_producer
    from worker.kafka.failures import explained
    from worker.kafka.security import Connection
    from worker.kafka.topics import TopicAdmin

    connection = Connection.of(settings.kafka)
    with TopicAdmin(connection) as admin:
        if not admin.describe([topic]):
            raise Stop(f"topic {topic} does not exist: make it with `tagstream topics create`")
    with explained():
        producer = make_producer(
            connection.client_options(),
            compression=settings.output.compression,
            delivery_timeout_s=settings.delivery.delivery_timeout_s,
        )
    try:
        with explained():
            return _acknowledged(producer, topic, records)
    finally:
        producer.close(timeout=settings.delivery.delivery_timeout_s)


def _acknowledged(producer: Any, topic: str, records: Iterable[tuple[bytes | None, bytes]]) -> int:
    """Send all; each future is looked at, as nothing else says that a record was lost."""
    sent = 0
    waiting: deque[Any] = deque()
    for key, value in records:
        waiting.append(producer.send(topic, value=value, key=key))
        sent += 1
        if len(waiting) >= MAX_UNACKNOWLEDGED:
            waiting.popleft().get()
    producer.flush()
    for future in waiting:
        future.get()
    return sent


def _line(label: Any, score: Any, topic: str, cluster: str, name: str) -> str:
    shown = f"{score:.3f}" if isinstance(score, float) else str(score or "")[:5]
    columns = (_fit(label or "-", 14), f"{shown:>5}", _fit(topic, 16), _fit(cluster, 18), _fit(name, 23).rstrip())
    return " ".join(columns)


def _fit(text: Any, width: int) -> str:
    """Exactly so wide, and nothing in it that a terminal would obey."""
    plain = "".join(c if c.isprintable() else "?" for c in str(text))
    return plain.ljust(width) if len(plain) <= width else plain[: width - 1] + "…"


def _cluster(clusters: list[Mapping[str, Any]] | None) -> str:
    if not clusters:
        return ""
    first = clusters[0]
    return "unassigned" if first.get("id") is None else f"{first['id']} {first.get('name') or ''}"


def _json(value: bytes) -> Any:
    import orjson

    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
