"""Deep clustering (DEC, KL loss) beside the k-means that it begins with: labels, silhouettes, agreement, CPU time.

`python -m benchmarks.dec --cache DIR [--texts N] [--tune N] [--seeds N] [--json]`. It needs no broker. TAGSTREAM_DATA
names the folder of labelled texts. Embeddings are kept in DIR. Everything computes on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from worker.bench.targets import columns
from worker.bench.texts import FOLDER_VARIABLE
from worker.cli.options import print_json

if TYPE_CHECKING:
    from benchmarks.clusters_streams.sets import Embedded
    from worker.training.deepguard import Labels

TUNED = "banking77"  # the corpus that an encoder is tuned on
HEAD = ("set", "texts", "k", "way", "seed", "NMI", "ACC", "silhouette", "agrees", "empty", "taken", "CPU s")


@dataclass(frozen=True, slots=True)
class Line:
    """One clustering. `silhouette` is in the space of the encoder's embeddings, `agrees` the NMI with k-means."""

    data: str
    texts: int
    k: int
    way: str
    seed: int
    nmi: float
    acc: float
    silhouette: float
    agrees: float
    empty: int
    taken: bool
    cpu_s: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, metavar="DIR", help="of embeddings")
    parser.add_argument("--texts", type=int, default=10_000, metavar="N", help="of each set, at most")
    parser.add_argument("--tune", type=int, default=0, metavar="N", help=f"also top:1 on so many texts of {TUNED}")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--json", action="store_true", help="print one object")
    given = parser.parse_args()
    if FOLDER_VARIABLE not in os.environ:
        print(f"skipped: {FOLDER_VARIABLE} names no folder of labelled texts", file=sys.stderr)
        return 0
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        found = list(_measure(Path(os.environ[FOLDER_VARIABLE]), given))
    if given.json:
        print_json([asdict(line) for line in found])
    else:
        print("\n".join(columns([HEAD, *map(_cells, found)])))
    return 0


def _measure(folder: Path, given: argparse.Namespace) -> Iterator[Line]:
    from benchmarks.clusters_streams.sets import embedded_sets
    from worker import app, logs
    from worker.cli.training import Terminal

    logs.configure("warning", "console")
    app.settle_environment()
    for data in embedded_sets(folder, cache=given.cache, progress=Terminal()):
        for seed in range(given.seeds):
            yield from _mapped(_some(data, given.texts, seed), seed)
    if given.tune:
        for seed in range(given.seeds):
            yield from _tuned(folder / f"{TUNED}.jsonl", given.tune, seed)


def _some(data: Embedded, most: int, seed: int) -> Embedded:
    import numpy as np

    chosen = np.random.default_rng(seed).permutation(len(data.rows))[:most]
    return replace(data, rows=data.rows[chosen], classes=data.classes[chosen])


def _mapped(data: Embedded, seed: int) -> Iterator[Line]:
    from worker.clusters.deepmap import mapped
    from worker.clusters.spherical import nearest, start
    from worker.training.deep import Deepening, fit_map
    from worker.training.progress import Silence

    began_s = time.process_time()
    centres, _ = start(data.rows, data.k, seed)
    kmeans = nearest(data.rows, centres)
    yield _line(data, "k-means", seed, kmeans, kmeans, len(centres), time.process_time() - began_s)
    began_s = time.process_time()
    found = fit_map(data.rows, centres, options=Deepening(seed=seed), progress=Silence())
    taken_s = time.process_time() - began_s
    yield _line(data, "dec", seed, kmeans, nearest(mapped(data.rows, found.map), found.centres), len(centres), taken_s)


def _tuned(file: Path, most: int, seed: int) -> Iterator[Line]:
    import numpy as np

    from benchmarks.clusters_streams.sets import Embedded
    from worker.clusters.spherical import nearest, normalise, start
    from worker.model.assembly import engine_of
    from worker.model.folder import read_folder
    from worker.model.recipe import EngineRecipe
    from worker.training.deepencoder import OPTIONS, tune_encoder
    from worker.training.progress import Silence

    with file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    rows = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))[:most]]
    texts, base = [row["text"] for row in rows], read_folder("minilm").without_head()
    engine = engine_of(base, EngineRecipe())
    _, classes = np.unique([row["label"] for row in rows], return_inverse=True)
    data = Embedded(TUNED, normalise(engine.infer(engine.tokenize(texts)).embeddings), classes)
    centres, _ = start(data.rows, data.k, seed)
    kmeans = nearest(data.rows, centres)
    yield _line(data, "k-means", seed, kmeans, kmeans, len(centres), 0.0)
    began_s = time.process_time()
    with tempfile.TemporaryDirectory() as place:
        tuned = tune_encoder(
            base,
            texts,
            centres,
            top=1,
            out=Path(place) / "encoder",
            accept=lambda _: False,
            progress=Silence(),
            options=replace(OPTIONS, seed=seed, threads=1),
        )
    deep = nearest(tuned.rows, tuned.centres)
    yield _line(data, "dec, top:1", seed, kmeans, deep, len(centres), time.process_time() - began_s)


def _line(data: Embedded, way: str, seed: int, kmeans: Labels, deep: Labels, k: int, cpu_s: float) -> Line:
    from benchmarks.clusters_streams.measures import accuracy, mutual_information
    from worker.training.deepguard import judge

    verdict = judge(data.rows, kmeans, deep, k=k, seed=seed)
    return Line(
        data=data.name,
        texts=len(data.rows),
        k=k,
        way=way,
        seed=seed,
        nmi=mutual_information(data.classes, deep),
        acc=accuracy(data.classes, deep),
        silhouette=verdict.silhouette,
        agrees=verdict.agreement,
        empty=verdict.empty,
        taken=verdict.refused is None,
        cpu_s=cpu_s,
    )


def _cells(line: Line) -> tuple[str, ...]:
    *first, nmi, acc, silhouette, agrees, empty, taken, cpu_s = asdict(line).values()
    shares = [f"{share:.3f}" for share in (nmi, acc, silhouette, agrees)]
    return (*map(str, first), *shares, str(empty), "yes" if taken else "no", f"{cpu_s:.1f}")


if __name__ == "__main__":
    sys.exit(main())
