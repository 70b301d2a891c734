"""`tagstream clusters fit` and `evaluate`: a first table from a file, and how good a table is for the texts of one."""

from __future__ import annotations

import time
import uuid
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli.clusterdeep import Fitted, Method, deepen, refuse_early, with_method
from worker.cli.options import print_json, with_json, with_settings
from worker.errors import SettingsError, Stop

if TYPE_CHECKING:
    from worker.cli.clustertexts import Found
    from worker.clusters.embedding import Embedded
    from worker.clusters.judging import Judged
    from worker.clusters.samples import Samples
    from worker.clusters.spherical import Matrix
    from worker.clusters.table import Table
    from worker.clusters.wire import Versioned
    from worker.settings import Settings

EXTRA = "a map needs matplotlib: pip install 'tagstream[train]'"
MOST = 50_000
AUTO = 0


class Clusters(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """A number from 2 on, or `auto`, which is AUTO."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value in ("auto", AUTO):
            return AUTO
        if not str(value).isdecimal() or int(value) < 2:
            self.fail(f"{value!r} is no number of clusters: write one from 2 on, or auto", param, ctx)
        return int(value)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--k", "wanted", type=Clusters(), metavar="N|auto", help="Clusters; default: clusters.k of the settings.")
@click.option("--text", metavar="COLUMN", help="The column with the text; dots go into nested objects.")
@click.option("--max-texts", type=click.IntRange(2), default=MOST, show_default=True, help="Use a sample of so many.")
@click.option("--dry-run", is_flag=True, help="Write nothing; only show what it would be.")
@with_method
@with_settings
@with_json
def fit(
    file: Path,
    wanted: int | None,
    text: str | None,
    max_texts: int,
    dry_run: bool,
    method: Method,
    settings: Settings,
    as_json: bool,
) -> None:
    """Make the first version of the table from the texts of FILE: JSON lines, CSV, TSV, Parquet, or a text a line.

    Workers that wait for their warm-up change over to it. `--k auto` tries some numbers of clusters on a sample and
    takes the one of the best silhouette. `--method dec` (deep clustering) is taken where k-means is no better. A table
    that exists is not touched: its ids mean something to somebody.
    """
    from worker.cli.clustertexts import Reading, embed, read_texts
    from worker.clusters.report import Past, sizes

    refuse_early(method, settings)
    if not dry_run:
        _refuse_existing(settings)
    texts = read_texts(file, Reading(text, None, max_texts, settings.clusters.seed))
    embedded = embed(settings, texts)
    tried = _silhouettes(embedded, settings) if wanted == AUTO else {}
    k = max(tried, key=lambda one: tried[one]) if tried else wanted or settings.clusters.k
    fitted = _fitted(settings, texts, embedded, k)
    table, encoder = deepen(method, fitted, dry_run=dry_run)
    if not dry_run:
        publish_first(settings, table, encoder)
    rows = sizes(table, Past())
    if as_json:
        told = [asdict(row) for row in rows]
        taken = "kmeans" if table is fitted.table else method.name
        told_of = {"table": table.name, "method": taken, "k": k, "texts": len(texts)}
        print_json({**told_of, "silhouettes": tried, "clusters": told})
        return
    _show_fit(settings, table, k, tried, len(texts), dry_run=dry_run)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--text", metavar="COLUMN", help="The column with the text; dots go into nested objects.")
@click.option("--label", metavar="COLUMN", help="The column with a label to compare the clusters with.")
@click.option("--max-texts", type=click.IntRange(2), default=MOST, show_default=True, help="Use a sample of so many.")
@click.option("--map", "picture", type=click.Path(path_type=Path), metavar="FILE", help="A map, as .png or .html.")
@with_settings
@with_json
def evaluate(
    file: Path,
    text: str | None,
    label: str | None,
    max_texts: int,
    picture: Path | None,
    settings: Settings,
    as_json: bool,
) -> None:
    """Judge the newest version of the table by the texts of FILE: sizes, silhouette, share of unassigned.

    Where every text has a label, also NMI, ARI and accuracy against the labels. The map shows texts and clusters by
    their two principal components; it holds no texts.
    """
    from worker.cli.clustertexts import Reading, embed, labels_of, read_texts
    from worker.clusters.judging import judged
    from worker.clusters.wire import refuse_other_encoder

    _refuse_map(picture)
    found = _newest(settings)
    if found is None:
        raise Stop(f"table {settings.clusters.table!r} has no clusters yet: make them with `tagstream clusters fit`")
    texts = read_texts(file, Reading(text, label, max_texts, settings.clusters.seed))
    embedded = embed(settings, texts)
    refuse_other_encoder(found, embedded.encoder)
    result = judged(found.table, embedded.rows, labels_of(texts), settings.clusters.seed)
    if picture is not None:
        _draw(picture, found.table, embedded, settings.clusters.seed)
    if as_json:
        print_json({"table": found.table.name, "version": found.table.version, **_fields(result)})
        return
    _show_judged(result, found.table)


def _newest(settings: Settings) -> Versioned | None:
    from worker.kafka.clustertopic import read_table
    from worker.kafka.security import Connection

    return read_table(Connection.of(settings.kafka).client_options(), settings.clusters.topic, settings.clusters.table)


def _refuse_existing(settings: Settings) -> None:
    from worker.kafka.reading import Reader
    from worker.kafka.security import Connection

    with Reader(Connection.of(settings.kafka).client_options()) as reader:
        reader.partitions(settings.cluster_topics())
    found = _newest(settings)
    if found is not None:
        raise Stop(
            f"table {found.table.name!r} exists (version {found.table.version}), and fit would end all of its ids:"
            " give clusters.table another name, for the workers too"
        )


def _silhouettes(embedded: Embedded, settings: Settings) -> dict[int, float]:
    from worker.clusters.fitting import silhouettes

    return silhouettes(embedded.readable(), settings.clusters.seed)


def _fitted(settings: Settings, texts: list[Found], embedded: Embedded, k: int) -> Fitted:
    """Raises `SettingsError` where there is nothing to fit it on."""
    from worker.clustering import make_offering, recipe_of
    from worker.clusters.fitting import first_table

    now_ms = int(time.time() * 1000)

    def samples_of(rows: Matrix) -> Samples | None:
        offering = make_offering(settings, per_s=len(texts))
        return offering.samples(rows, [text.text for text in texts], [now_ms] * len(texts))

    samples = samples_of(embedded.rows)
    table = first_table(samples, replace(recipe_of(settings), k=k)) if samples else None
    if table is None or len(table.ids) < 2:
        raise SettingsError("the texts make fewer than 2 clusters: give more and more different ones")
    return Fitted(settings, texts, embedded, table, samples_of)


def publish_first(settings: Settings, table: Table, encoder: str) -> None:
    """Version and events in one transaction."""
    from worker.clusters.fitting import born
    from worker.clusters.wire import event_records, records
    from worker.kafka.client import make_producer
    from worker.kafka.publishing import publish
    from worker.kafka.security import Connection
    from worker.types import Output

    clusters, delivery = settings.clusters, settings.delivery
    pairs = [(clusters.topic, pair) for pair in records(table, encoder, None)]
    pairs += [(clusters.event_topic, pair) for pair in event_records(born(table), table, None)]
    make = partial(
        make_producer,
        Connection.of(settings.kafka).client_options(),
        compression=settings.output.compression,
        delivery_timeout_s=delivery.delivery_timeout_s,
        transactional_id=f"{delivery.transactional_id_prefix}-clusters-fit-{uuid.uuid4()}",
        transaction_timeout_ms=int(delivery.transaction_timeout_s * 1000),
    )
    _refuse_existing(settings)  # embedding takes its time
    outputs = [Output(topic, value, key=key, partition=0) for topic, (key, value) in pairs]
    publish(make, outputs, delivery.transaction_timeout_s)


def _refuse_map(picture: Path | None) -> None:
    """Before any work."""
    if picture is None:
        return
    from importlib.util import find_spec

    if picture.suffix.lower() not in (".png", ".html"):
        raise SettingsError(f"{picture}: a map is .png or .html")
    if find_spec("matplotlib") is None:
        raise SettingsError(EXTRA)
    if picture.is_dir() or not picture.parent.is_dir():
        raise SettingsError(
            f"cannot write {picture}: {'it is a directory' if picture.is_dir() else 'no such directory'}"
        )


def _draw(path: Path, table: Table, embedded: Embedded, seed: int) -> None:
    from worker.clusters.picture import page, picture

    rows = embedded.readable()
    if len(rows) < 2:
        raise SettingsError("a map needs at least two texts")
    image = picture(table, rows, seed)
    content = image if path.suffix.lower() == ".png" else page(table, image).encode("utf-8")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}") from None


def _fields(result: Judged) -> dict[str, Any]:
    told = asdict(result)
    told["sizes"] = {str(one): count for one, count in result.sizes.items()}
    return told


def _show_fit(settings: Settings, table: Table, k: int, tried: dict[int, float], texts: int, *, dry_run: bool) -> None:
    from worker.cli.clusterlines import HEAD, size_line
    from worker.clusters.report import Past, sizes

    for one, silhouette in tried.items():
        click.echo(f"k={one:<4} silhouette {silhouette:.3f}{'  ← taken' if one == k else ''}")
    done = "would be" if dry_run else "is"
    click.echo(f"version 1 of table {table.name} {done} {len(table.ids)} clusters of {texts:,} texts")
    click.echo(HEAD)
    for row in sizes(table, Past()):
        click.echo(size_line(row))
    if k != settings.clusters.k:
        click.echo(f"set clusters.k to {k} for the workers, or the learner goes on to {settings.clusters.k}", err=True)


def _show_judged(result: Judged, table: Table) -> None:
    from worker.cli.clusterlines import plain

    silhouette = "-" if result.silhouette is None else f"{result.silhouette:.3f}"
    click.echo(f"table {table.name}, version {table.version}, on {result.texts:,} texts")
    click.echo(f"silhouette {silhouette}, unassigned {result.unassigned:.1%}")
    if result.agreement is not None:
        found = result.agreement
        click.echo(
            f"with {found.labels} labels: NMI {found.nmi:.3f}, ARI {found.ari:.3f}, accuracy {found.accuracy:.3f}"
        )
    for one, count in sorted(result.sizes.items(), key=lambda pair: -pair[1]):
        click.echo(f"{one:>5}  {count:>9,}  {plain(table.names.get(one, '-'))}")
