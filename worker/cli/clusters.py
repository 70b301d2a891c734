"""`tagstream clusters`: the shared table as people see it, and what they order about it."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli.clusterfit import evaluate, fit
from worker.cli.options import print_json, with_json, with_settings
from worker.errors import SettingsError, Stop

if TYPE_CHECKING:
    from worker.clusters.orders import Order
    from worker.clusters.report import Past
    from worker.clusters.wire import Versioned
    from worker.settings import Settings

NEIGHBOURS = 5
ID = click.IntRange(1)


@click.group()
def command() -> None:
    """Look at the shared clusters, make the first ones, and change them by hand."""


command.add_command(fit)
command.add_command(evaluate)


@command.command("list")
@with_settings
@with_json
def list_command(settings: Settings, as_json: bool) -> None:
    """Show the clusters of the newest version: samples so far, trend, last text, name.

    The trend compares the share of the newer half of the versions that are still on the topic with that of the older.
    """
    from worker.cli.clusterlines import HEAD, moment, size_line
    from worker.clusters.report import sizes

    found, past = _table(settings)
    table, rows = found.table, sizes(found.table, past)
    if as_json:
        print_json(
            {
                "table": table.name,
                "version": table.version,
                "encoder": found.encoder,
                "at_ms": table.at_ms,
                "threshold": table.threshold,
                "clusters": [asdict(row) for row in rows],
            }
        )
        return
    click.echo(f"table {table.name}, version {table.version}, {moment(table.at_ms)} UTC, encoder {found.encoder}")
    click.echo(f"{len(rows)} clusters; a text below {table.threshold:.3f} to all of them is unassigned")
    click.echo(HEAD)
    for row in rows:
        click.echo(size_line(row))


@command.command()
@click.argument("cluster", metavar="ID", type=ID)
@click.option("--texts", type=click.Path(path_type=Path), metavar="FILE", help="Show the nearest texts of this file.")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="Texts to show.")
@click.option("--text", metavar="COLUMN", help="The column with the text; dots go into nested objects.")
@with_settings
@with_json
def show(cluster: int, texts: Path | None, top: int, text: str | None, settings: Settings, as_json: bool) -> None:
    """Show a cluster: its record, its neighbours, how far it has moved, and the texts of a file that are nearest.

    Topics hold no texts, so they come from a file; only those that a worker would give this id are shown.
    """
    from worker.clusters import report

    found, past = _table(settings)
    _refuse_unknown(found, cluster)
    table = found.table
    (row,) = (row for row in report.sizes(table, past) if row.id == cluster)
    near = report.neighbours(table, cluster, NEIGHBOURS)
    told = {
        **asdict(row),
        "version": table.version,
        "cosine_to_first_centre": report.moved(table, cluster),
        "neighbours": [{"id": one, "name": table.names.get(one), "cosine": cosine} for one, cosine in near],
        "texts": _nearest(settings, found, cluster, texts, text, top) if texts is not None else [],
    }
    if as_json:
        print_json(told)
        return
    _show(told)


@command.command()
@click.argument("cluster", metavar="[ID]", type=ID, required=False)
@with_settings
@with_json
def history(cluster: int | None, settings: Settings, as_json: bool) -> None:
    """Show what has happened to all ids, as a tree; with ID, the tree that it belongs to.

    An id that has ended is marked with †. Times are those of the texts.
    """
    from worker.cli.clusterlines import plain
    from worker.clusters.story import Story
    from worker.kafka.clustertopic import read_events, read_table
    from worker.kafka.security import Connection

    options, clusters = Connection.of(settings.kafka).client_options(), settings.clusters
    events = list(read_events(options, clusters.event_topic, clusters.table))
    if not events:
        raise Stop(f"nothing has happened in table {clusters.table!r} yet: {clusters.event_topic} holds no event of it")
    if as_json:
        chosen = [event for event in events if cluster is None or cluster in (*event.parents, *event.children)]
        print_json({"table": clusters.table, "events": [event.model_dump(mode="json") for event in chosen]})
        return
    found = read_table(options, clusters.topic, clusters.table)
    story = Story(events, found.table.names if found else {})
    if cluster is not None and cluster not in story.ids():
        raise Stop(f"there was never a cluster {cluster} in table {clusters.table!r}")
    for line in story.lines(cluster):
        click.echo(plain(line))


@command.command()
@click.argument("cluster", metavar="ID", type=ID)
@click.argument("name", required=False)
@click.option("--off", is_flag=True, help="Take the name back: it comes from the words again.")
@with_settings
def rename(cluster: int, name: str | None, off: bool, settings: Settings) -> None:
    """Call cluster ID by NAME, whatever its words are, until the id ends."""
    from worker.clusters.orders import Order

    if off == (name is not None):
        raise SettingsError("give either a NAME or --off")
    if name is not None and not (name.strip() and name.isprintable() and len(name) <= 100):
        raise SettingsError("a name is 1 to 100 characters that can be printed")
    _order(settings, Order("rename", (cluster,), name.strip() if name else None))


@command.command()
@click.argument("cluster", metavar="ID", type=ID)
@click.option("--off", is_flag=True, help="Let it go again.")
@with_settings
def pin(cluster: int, off: bool, settings: Settings) -> None:
    """Keep cluster ID: it is never merged away, split, retired, renamed, or given another id as its topic moves."""
    from worker.clusters.orders import Order

    _order(settings, Order("unpin" if off else "pin", (cluster,)))


@command.command()
@click.argument("kept", metavar="ID", type=ID)
@click.argument("gone", metavar="OTHER", type=ID)
@with_settings
def merge(kept: int, gone: int, settings: Settings) -> None:
    """Make one cluster of two: ID goes on for both, pinned, as it would be split again; OTHER ends."""
    from worker.clusters.orders import Order

    if kept == gone:
        raise SettingsError(f"{kept} cannot be merged with itself: name two clusters")
    _order(settings, Order("merge", (kept, gone)))


def _table(settings: Settings) -> tuple[Versioned, Past]:
    """The newest version, and those before it that are left."""
    from worker.clusters.report import Past
    from worker.kafka.clustertopic import read_events, read_versions
    from worker.kafka.security import Connection

    options, clusters = Connection.of(settings.kafka).client_options(), settings.clusters
    merges = [
        (event.version, event.children[0], gone)
        for event in read_events(options, clusters.event_topic, clusters.table)
        if event.kind == "merged"
        for gone in set(event.parents) - set(event.children)
    ]
    past, newest = Past(merges), None
    for newest in read_versions(options, clusters.topic, clusters.table):
        past.note(newest.table)
    if newest is None:
        raise Stop(
            f"table {clusters.table!r} has no clusters yet: {clusters.topic} has no version of it;"
            " it comes after clusters.warmup texts, or from `tagstream clusters fit`"
        )
    return newest, past


def _refuse_unknown(found: Versioned, *ids: int) -> None:
    for one in ids:
        if one not in found.table.ids:
            ended = "it has ended" if one < found.table.next_id else "there never was one"
            raise Stop(f"table {found.table.name!r} has no cluster {one} ({ended}): see `tagstream clusters history`")


def _order(settings: Settings, order: Order) -> None:
    """To the learner, which reads it among the samples."""
    from worker.clusters.wire import order_record
    from worker.kafka.client import make_producer
    from worker.kafka.publishing import publish_one
    from worker.kafka.security import Connection
    from worker.types import Output

    clusters = settings.clusters
    found, _ = _table(settings)
    _refuse_unknown(found, *order.ids)
    key, value = order_record(clusters.table, order)
    make = partial(
        make_producer,
        Connection.of(settings.kafka).client_options(),
        compression="none",
        delivery_timeout_s=settings.delivery.delivery_timeout_s,
    )
    publish_one(make, Output(clusters.sample_topic, value, key=key, partition=0))
    click.echo(f"ordered: {order.kind} {' '.join(map(str, order.ids))}; it is done in the next version of the table")


def _nearest(
    settings: Settings, found: Versioned, cluster: int, path: Path, column: str | None, top: int
) -> list[dict[str, Any]]:
    from worker.cli.clustertexts import Reading, embed, read_texts
    from worker.clusters.assign import assign
    from worker.clusters.wire import refuse_other_encoder

    texts = read_texts(path, Reading(column, None, most=20_000, seed=settings.clusters.seed))
    embedded = embed(settings, texts)
    refuse_other_encoder(found, embedded.encoder)
    given = assign(found.table, embedded.rows)
    own = [i for i, one in enumerate(given.ids) if one == cluster]
    own.sort(key=lambda i: -float(given.similarity[i]))
    return [{"similarity": float(given.similarity[i]), "text": texts[i].text} for i in own[:top]]


def _show(told: dict[str, Any]) -> None:
    from worker.cli.clusterlines import moment, plain

    marks = [mark for mark, true in (("pinned", told["pinned"]), ("named by hand", told["named"])) if true]
    click.echo(f"{told['id']} {plain(told['name'] or '-')}{' [' + ', '.join(marks) + ']' if marks else ''}")
    click.echo(f"samples         {told['seen']:,} ({told['share']:.1%}), {told['trend'] or 'no trend yet'}")
    click.echo(f"last seen       {moment(told['last_seen_ms'])} UTC")
    click.echo(f"moved           cosine {told['cosine_to_first_centre']:.3f} to its first centre")
    for title, near in zip(["neighbours", *[""] * NEIGHBOURS], told["neighbours"], strict=False):
        click.echo(f"{title:<15} {near['cosine']:.3f}  {near['id']} {plain(near['name'] or '')}")
    for title, text in zip(["texts", *[""] * len(told["texts"])], told["texts"], strict=False):
        click.echo(f"{title:<15} {text['similarity']:.3f}  {plain(' '.join(text['text'].split()))[:200]}")
