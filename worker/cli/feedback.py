"""`tagstream feedback collect`: what people have corrected, as a labelled set that `tagstream train` reads."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.options import print_json, with_json, with_settings
from worker.errors import SettingsError

if TYPE_CHECKING:
    from worker.feedback.collecting import Collected
    from worker.settings import Settings

ABSENT = {
    "gone": "retention has taken the original",
    "compacted": "compaction has taken the original, or its transaction was aborted",
    "unknown_topic": "the settings do not read that topic, or it is not there",
    "beyond_end": "nothing has been written there yet",
    "another_message": "another message is there now, of another time",
}


@click.group()
def command() -> None:
    """Collect corrections into a labelled set."""


@command.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The set: JSON lines.")
@with_settings
@with_json
def collect(out: Path, settings: Settings, as_json: bool) -> None:
    """Read feedback.topic to its end and write the corrected texts with their right labels to --out.

    Of several corrections of a message the latest counts. A message that is named by its coordinates is looked up where
    it was read. What --out holds from an earlier call stays in it, also when retention has taken the original since.
    The file is written whole or not at all, and only its owner may read it: it holds texts.
    """
    if settings.feedback.topic is None:
        raise SettingsError("feedback.topic is not set: name the topic that corrections are sent to")
    counts, lost = _collect(settings, settings.feedback.topic, out)
    if as_json:
        told = {field.name: getattr(counts, field.name) for field in fields(counts)}  # asdict spoils a Counter
        print_json({"out": str(out), "topic": settings.feedback.topic, **told, "feedback_gone": lost})
        return
    new = counts.collected - counts.before
    click.echo(f"{out}: {counts.collected:,} labelled texts, {new:,} of them new")
    for count, what in _lines(counts, settings.feedback.topic, lost):
        click.echo(f"{count:>9,}  {what}")
    if counts.first_unreadable:
        click.echo(f"the first that cannot be read: {counts.first_unreadable}", err=True)


def _collect(settings: Settings, topic: str, out: Path) -> tuple[Collected, int]:
    """Counts, and how many records of the feedback topic its own retention has taken."""
    from worker.feedback.collecting import collect
    from worker.kafka.originals import Originals
    from worker.kafka.reading import Reader
    from worker.kafka.security import Connection
    from worker.rules import make_decoder

    decode = make_decoder(settings)
    with Reader(Connection.of(settings.kafka).client_options()) as reader:
        spans = reader.spans(reader.partitions([topic]))
        starts = {partition: first for partition, (first, _) in spans.items()}
        ends = {partition: end for partition, (_, end) in spans.items()}
        originals = Originals(reader=reader, readable=settings.reads)
        counts = collect(
            reader.read(starts, ends),
            out=out,
            find=originals.find,
            decode=decode,
            max_bytes=settings.text.max_bytes,
        )
    return counts, sum(starts.values())


def _lines(counts: Collected, topic: str, lost: int) -> list[tuple[int, str]]:
    """What did not become a text of the set, and why."""
    lines = [(counts.superseded, "superseded by a later correction of the same message")]
    lines += [(counts.absent[reason], f"left out: {why}") for reason, why in ABSENT.items() if reason in counts.absent]  # type: ignore[index]
    lines += [
        (count, f"left out: the original cannot be read: {_words(reason)}")
        for reason, count in counts.undecodable.items()
    ]
    lines += [(count, f"no feedback: {_words(reason)}") for reason, count in counts.unreadable.items()]
    lines.append((lost, f"taken out of {topic} by its own retention before this call"))
    return [line for line in lines if line[0]]


def _words(reason: str) -> str:
    return reason.replace("_", " ")
