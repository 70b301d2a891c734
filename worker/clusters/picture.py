"""Texts and clusters on a plane, by their two principal components. Needs matplotlib (extra `train`)."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from worker.clusters.deepmap import mapped
from worker.clusters.spherical import Matrix, nearest
from worker.clusters.table import Table

POINTS = 3000
NAMED = 24  # clusters whose names still fit, the largest
SIZE = (10.0, 7.5)
COLOURS = "tab20"


def picture(table: Table, rows: Matrix, seed: int) -> bytes:
    """PNG: a point for each of some texts in the colour of its nearest cluster, whose id is in their middle."""
    if len(rows) > POINTS:
        rows = rows[np.random.default_rng(seed % 2**64).choice(len(rows), POINTS, replace=False)]
    rows = mapped(rows, table.map)
    plane = PCA(n_components=2, random_state=seed % 2**32).fit(rows)
    texts, centres = plane.transform(rows), plane.transform(table.centres)
    places = nearest(rows, table.centres)
    for place in np.unique(places).tolist():  # a unit centre lies outside of its texts, on a plane
        centres[place] = texts[places == place].mean(axis=0)
    with rc_context({"text.parse_math": False, "font.size": 8}):
        figure = Figure(figsize=SIZE, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.scatter(
            texts[:, 0], texts[:, 1], c=places % 20, cmap=COLOURS, vmin=0, vmax=19, s=9, alpha=0.6, linewidths=0
        )
        axes.scatter(centres[:, 0], centres[:, 1], c="black", s=14)
        largest = set(np.argsort(-np.bincount(places, minlength=len(centres)))[:NAMED].tolist())
        for place, one in enumerate(table.ids):
            name = table.names.get(one) if place in largest else None
            axes.annotate(f"{one} {name}" if name else str(one), centres[place], (3, 3), textcoords="offset points")
        share = plane.explained_variance_ratio_.sum()
        axes.set_title(f"Clusters of {table.name}, version {table.version}: {len(rows):,} texts, {share:.0%} of spread")
        axes.set_xticks([])
        axes.set_yticks([])
        written = io.BytesIO()
        figure.savefig(written, format="png", dpi=110)
    return written.getvalue()


def page(table: Table, image: bytes) -> str:
    """One HTML file with the picture in it and the clusters below."""
    rows = "".join(
        f"<tr><td>{one}</td><td>{html.escape(table.names.get(one) or '')}</td><td>{seen:,}</td></tr>"
        for one, seen in sorted(zip(table.ids, table.seen.tolist(), strict=True), key=lambda pair: -pair[1])
    )
    return (
        f'<!doctype html><meta charset="utf-8"><title>Clusters of {html.escape(table.name)}</title>'
        "<style>body{font-family:sans-serif;margin:2em}img{max-width:100%}td{padding:0 1em}</style>"
        f'<img alt="map" src="data:image/png;base64,{base64.b64encode(image).decode("ascii")}">'
        f"<table><tr><th>id</th><th>name</th><th>samples</th></tr>{rows}</table>\n"
    )
