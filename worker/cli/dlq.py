"""`tagstream dlq list|show|replay`: what could not be tagged, why, and once more."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from worker.cli.options import print_json, with_json, with_settings
from worker.errors import SettingsError, Stop

if TYPE_CHECKING:
    from worker.kafka.reading import Reader
    from worker.kafka.replay import DeadLetterRecord, Selection
    from worker.settings import Settings


def moment(text: str) -> datetime:
    """A time as RFC 3339; without an offset it is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time such as 2030-01-31T12:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@click.group()
def command() -> None:
    """List, show and replay dead letters."""


@command.command("list")
@with_settings
@with_json
def list_command(settings: Settings, as_json: bool) -> None:
    """Count the dead letters by reason, stage and source topic."""
    from worker.kafka.replay import Selection, dead_letters

    topic = settings.dead_letter.topic
    with _reader(settings) as reader:
        rows = _count(dead_letters(reader, topic, Selection()))
    total = sum(row["count"] for row in rows)
    if as_json:
        print_json({"topic": topic, "total": total, "dead_letters": rows})
        return
    click.echo(f"{total} dead letters in {topic}")
    for row in rows:
        newest = f"{row['newest']:%Y-%m-%d %H:%M:%S}" if row["newest"] else "-"
        click.echo(f"{row['count']:>9}  {row['reason']:<20} {row['stage']:<8} {row['topic']:<18} {newest}")


@command.command()
@click.argument("partition", type=click.IntRange(0))
@click.argument("offset", type=click.IntRange(0))
@click.option("--value", "with_value", is_flag=True, help="Its bytes too; they may be private.")
@with_settings
@with_json
def show(partition: int, offset: int, with_value: bool, settings: Settings, as_json: bool) -> None:
    """Show one record of the dead-letter topic: its headers, and with --value its bytes."""
    from worker.kafka.replay import Selection, dead_letters

    topic = settings.dead_letter.topic
    with _reader(settings) as reader:
        letter = next(dead_letters(reader, topic, Selection(partition=partition, offset=offset)), None)
    if letter is None:
        raise Stop(f"there is no record {topic}[{partition}]@{offset}; `tagstream dlq list` counts those there are")
    if as_json:
        print_json(_as_dict(letter, with_value))
    else:
        _show(letter, with_value)


@command.command()
@click.option("--reason", "reasons", multiple=True, metavar="REASON", help="Only with this reason; may be repeated.")
@click.option("--since", type=moment, metavar="TIME", help="Only what failed at this time or later.")
@click.option("--until", type=moment, metavar="TIME", help="Only what failed before this time.")
@click.option("--partition", type=click.IntRange(0), help="Only of this partition of the dead-letter topic.")
@click.option("--offset", type=click.IntRange(0), help="Only this offset; needs --partition.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@with_settings
@with_json
def replay(settings: Settings, as_json: bool, dry_run: bool, **chosen: Any) -> None:
    """Put originals on the replay topic, each at most once however often this runs.

    What has come back dead_letter.max_replays times stays.
    """
    selection = _selection(**chosen)
    if settings.dead_letter.replay_topic is None:
        raise SettingsError("dead_letter.replay_topic is not set: name a topic that the workers also read")
    report = _replay(settings, settings.dead_letter.replay_topic, selection, dry_run)
    if as_json:
        print_json({"dry_run": dry_run, **report})
        return
    click.echo(f"{'would be replayed' if dry_run else 'replayed'}: {report['replayed']}")
    for reason, count in sorted(report["replayed_by_reason"].items()):
        click.echo(f"{count:>9}  {reason}")
    for obstacle, count in sorted(report["kept"].items()):
        click.echo(f"{count:>9}  stay: {obstacle.replace('_', ' ')}")
    if report["already_replayed"]:
        click.echo(f"{report['already_replayed']:>9}  had been replayed before")


def _replay(settings: Settings, replay_topic: str, selection: Selection, dry_run: bool) -> dict[str, Any]:
    from worker.kafka.client import make_producer
    from worker.kafka.reading import Reader
    from worker.kafka.replay import Replay
    from worker.kafka.security import Connection

    options = Connection.of(settings.kafka).client_options()
    group_id = f"{settings.kafka.group_id}-replay"

    def producer() -> Any:
        return make_producer(
            options,
            compression=settings.output.compression,
            delivery_timeout_s=settings.delivery.delivery_timeout_s,
            transactional_id=f"{settings.delivery.transactional_id_prefix}-{group_id}",
            transaction_timeout_ms=round(settings.delivery.transaction_timeout_s * 1000),
        )

    with Reader(options, group_id=group_id) as reader:
        replaying = Replay(
            reader=reader,
            make_producer=None if dry_run else producer,
            group_id=group_id,
            topic=settings.dead_letter.topic,
            replay_topic=replay_topic,
            max_replays=settings.dead_letter.max_replays,
            timeout_s=settings.delivery.transaction_timeout_s,
        )
        return replaying.run(selection).as_dict()


def _selection(
    *,
    reasons: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    partition: int | None,
    offset: int | None,
) -> Selection:
    from schemas import Reason
    from worker.kafka.replay import Selection

    unknown = set(reasons) - set(Reason)
    if unknown:
        raise SettingsError(f"--reason {min(unknown)} is none of {', '.join(Reason)}")
    if offset is not None and partition is None:
        raise SettingsError("--offset needs --partition")
    return Selection(frozenset(reasons), since, until, partition, offset)


def _reader(settings: Settings) -> Reader:
    from worker.kafka.reading import Reader
    from worker.kafka.security import Connection

    return Reader(Connection.of(settings.kafka).client_options())


def _count(letters: Iterable[DeadLetterRecord]) -> list[dict[str, Any]]:
    """A row for each reason, stage and source topic, the most frequent first."""
    from schemas import headers

    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for letter in letters:
        key = (
            letter.reason or "?",
            letter.header(headers.ERROR_STAGE) or "?",
            letter.header(headers.SOURCE_TOPIC) or "?",
        )
        new = {"reason": key[0], "stage": key[1], "topic": key[2], "count": 0, "oldest": None, "newest": None}
        row = rows.setdefault(key, new)
        row["count"] += 1
        if (time := letter.time) is not None:
            row["oldest"] = min(row["oldest"] or time, time)
            row["newest"] = max(row["newest"] or time, time)
    return sorted(rows.values(), key=lambda row: (-row["count"], row["reason"]))


def _as_dict(letter: DeadLetterRecord, with_value: bool) -> dict[str, Any]:
    record = letter.record
    told = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "source": letter.source,
        "headers": [[name, _text(value)] for name, value in record.headers],
        "value_bytes": None if record.value is None else len(record.value),
    }
    if with_value:
        told["key_base64"] = _base64(record.key)
        told["value_base64"] = _base64(record.value)
    return told


def _show(letter: DeadLetterRecord, with_value: bool) -> None:
    record = letter.record
    click.echo(f"{record} from {letter.source}, {len(record.value or b'')} bytes")
    for name, value in record.headers:
        click.echo(f"{_printable(name)}: {_printable(_text(value) or '')}")
    if with_value:
        click.echo()
        on_terminal = sys.stdout.isatty()
        click.echo(_printable(_text(record.value) or "") if on_terminal else record.value or b"")


def _printable(text: str) -> str:
    """Nothing in it that a terminal would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()
