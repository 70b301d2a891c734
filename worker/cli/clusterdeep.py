"""`tagstream clusters fit --method dec`: deep clustering of what k-means has found, where it is no worse."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from worker.cli.options import Command
from worker.errors import SettingsError

if TYPE_CHECKING:
    from worker.cli.clustertexts import Found
    from worker.clusters.embedding import Embedded
    from worker.clusters.samples import Samples
    from worker.clusters.spherical import Matrix
    from worker.clusters.table import Table
    from worker.settings import Settings
    from worker.training.deepencoder import Tuned
    from worker.training.deepguard import Labels, Verdict


@dataclass(frozen=True, slots=True)
class Method:
    """`top` layers of the encoder learn too, which is written to `out`; None: the embeddings stay as they are."""

    name: Literal["kmeans", "dec"] = "kmeans"
    top: int | None = None
    out: Path | None = None
    force: bool = False

    @property
    def folder(self) -> Path:
        assert self.out is not None
        return self.out


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What k-means has made, and of what; `samples` makes them of the texts' embeddings."""

    settings: Settings
    texts: list[Found]
    embedded: Embedded
    table: Table
    samples: Callable[[Matrix], Samples | None]

    @property
    def seed(self) -> int:
        return self.settings.clusters.seed % 2**63

    def usable(self, rows: Matrix, also: Matrix | None = None) -> Matrix:
        """Unit rows of the texts that have embeddings, in `also` too."""
        from worker.clusters.assign import usable_rows
        from worker.clusters.spherical import normalise

        kept = usable_rows(rows) if also is None else usable_rows(rows) & usable_rows(also)
        return normalise(rows[kept])

    def with_centres(self, embedded: Embedded, centres: Matrix, matrix: Matrix | None) -> Table:
        from worker.clustering import recipe_of
        from worker.clusters.deepened import deepened

        samples = self.samples(embedded.rows)
        assert samples is not None  # k-means had some
        return deepened(self.table, samples, centres, matrix, recipe_of(self.settings))


def with_method(command: Command) -> Command:
    """Add how clusters are made; the command gets `method`, refused where its parts contradict each other."""

    @click.option(
        "--method",
        "name",
        type=click.Choice(("kmeans", "dec")),
        default="kmeans",
        show_default=True,
        help="dec: deep clustering, which begins with k-means.",
    )
    @click.option("--tune", metavar="top:N", help="Of dec: let the encoder's N upper layers learn, too.")
    @click.option(
        "--out", type=click.Path(path_type=Path), metavar="DIR", help="Where --tune writes the clusters' own encoder."
    )
    @click.option("--force", is_flag=True, help="Of dec: take it even where k-means is better.")
    @functools.wraps(command)
    def wrapper(*args: Any, name: Any, tune: str | None, out: Path | None, force: bool, **more: Any) -> Any:
        if name != "dec" and (tune or out or force):
            raise SettingsError("--tune, --out and --force are for --method dec; add it, or leave them out")
        if (tune is None) != (out is None):
            raise SettingsError("--tune writes an encoder: give --tune and --out, or neither")
        return command(*args, method=Method(name, _top(tune), out, force), **more)

    return wrapper


def refuse_early(method: Method, settings: Settings) -> None:
    """What can be known before any text is read. Raises `SettingsError`."""
    if method.top is None or method.out is None:
        return
    from worker.engines import recipe_of
    from worker.model.assembly import encoder_of
    from worker.training.classifier import refuse_layers
    from worker.training.directory import refuse_target

    refuse_target(method.out)
    refuse_layers(encoder_of(recipe_of(settings)), method.top)


def deepen(method: Method, fitted: Fitted, *, dry_run: bool) -> tuple[Table, str]:
    """What `method` makes of the table of k-means, and the fingerprint of its encoder; that table where it is better.

    Blocks for seconds, with layers of the encoder for minutes. Raises `SettingsError`.
    """
    made: tuple[Table, str] | None = None
    if method.name == "dec":
        made = _behind_a_map(method, fitted) if method.top is None else _tuned(method, fitted, dry_run=dry_run)
    return made or (fitted.table, fitted.embedded.encoder)


def _behind_a_map(method: Method, fitted: Fitted) -> tuple[Table, str] | None:
    from worker.cli.training import Terminal
    from worker.clusters.deepened import refuse_wide
    from worker.clusters.deepmap import mapped
    from worker.clusters.spherical import nearest
    from worker.training.deep import Deepening, fit_map

    rows = fitted.usable(fitted.embedded.rows)
    refuse_wide(rows.shape[1])
    found = fit_map(rows, fitted.table.centres, options=Deepening(seed=fitted.seed), progress=Terminal())
    if not _taken(method, fitted, rows, nearest(mapped(rows, found.map), found.centres)):
        return None
    return fitted.with_centres(fitted.embedded, found.centres, found.map), fitted.embedded.encoder


def _tuned(method: Method, fitted: Fitted, *, dry_run: bool) -> tuple[Table, str] | None:
    from worker.cli.clustertexts import embed
    from worker.cli.training import Terminal
    from worker.clusters.spherical import nearest
    from worker.engines import recipe_of
    from worker.model.assembly import encoder_of
    from worker.rules import make_preparation
    from worker.training.deepencoder import OPTIONS, tune_encoder

    assert method.top is not None
    settings, prepare, accepted = fitted.settings, make_preparation(fitted.settings), False

    def accept(tuned: Tuned) -> bool:
        nonlocal accepted
        rows = fitted.usable(fitted.embedded.rows, also=tuned.rows)
        deep = nearest(fitted.usable(tuned.rows, also=fitted.embedded.rows), tuned.centres)
        accepted = _taken(method, fitted, rows, deep)
        return accepted and not dry_run

    tuned = tune_encoder(
        encoder_of(recipe_of(settings)),
        [prepare(text.text) for text in fitted.texts],
        fitted.table.centres,
        top=method.top,
        out=method.folder,
        accept=accept,
        progress=Terminal(),
        options=replace(OPTIONS, seed=fitted.seed),
    )
    if not accepted:
        return None
    _say_cost(method.folder, tuned)
    own = replace(fitted.embedded, rows=tuned.rows)
    if not dry_run:  # as a worker will embed
        clusters = settings.clusters.model_copy(update={"encoder": str(method.folder)})
        own = embed(settings.model_copy(update={"clusters": clusters}), fitted.texts)
    return fitted.with_centres(own, tuned.centres, None), own.encoder


def _taken(method: Method, fitted: Fitted, rows: Matrix, deep: Labels) -> bool:
    """Say in one line what has become of it."""
    from worker.clusters.spherical import nearest
    from worker.training.deepguard import judge

    kmeans = nearest(rows, fitted.table.centres)
    verdict = judge(rows, kmeans, deep, k=len(fitted.table.ids), seed=fitted.seed)
    refused = verdict.refused
    if refused is None:
        click.echo(f"dec is taken: {_figures(verdict)}", err=True)
    elif method.force:
        click.echo(f"dec is taken by --force, although {refused}; {_figures(verdict)}", err=True)
    else:
        click.echo(f"k-means is kept: of dec, {refused} (--force takes it all the same)", err=True)
    return refused is None or method.force


def _figures(verdict: Verdict) -> str:
    return (
        f"silhouette {verdict.silhouette:.4f}, of k-means {verdict.kmeans_silhouette:.4f};"
        f" they agree by NMI {verdict.agreement:.3f}"
    )


def _say_cost(out: Path, tuned: Tuned) -> None:
    click.echo(
        f"set clusters.encoder to {out} for the workers: beside a model on the same base they compute"
        f" {tuned.top} of {tuned.layers} layers a second time, {tuned.top / tuned.layers:.0%} of a pass",
        err=True,
    )


def _top(tune: str | None) -> int | None:
    if tune is None:
        return None
    match = re.fullmatch(r"top:([1-9]\d{0,2})", tune)
    if match is None:
        raise SettingsError(f"--tune {tune}: write top:N, such as top:2")
    return int(match[1])
