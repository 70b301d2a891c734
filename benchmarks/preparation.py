"""What each way to prepare texts costs or brings: a head on frozen MiniLM, and beside it a bag of words.

`python -m benchmarks.preparation [--texts N] [--json] [SET ...]`. TAGSTREAM_DATA names a folder of JSON lines with
`text`, `label` and `split`. Nothing is tuned: one fit on `train` (and `valid`), one look at `test`; the interval is a
paired bootstrap of the difference to the plain text.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from worker.bench.texts import FOLDER_VARIABLE
from worker.cli.options import print_json
from worker.model.assembly import engine_of
from worker.model.folder import read_folder
from worker.model.recipe import EngineRecipe
from worker.text.preparation import Preparation
from worker.text.redaction import WORDS
from worker.text.stopwords import LANGUAGES
from worker.training.head import MAX_ITERATIONS, C

SETS = ("sms_spam", "youtube_spam", "banking77", "hate_davidson", "germeval2018_de")
REGIONS = ("DE", "GB", "US")
DRAWS = 2000
WAYS: dict[str, Preparation] = {
    "as sent": Preparation(),
    "NFC": Preparation(normalize="NFC"),
    "NFKC": Preparation(normalize="NFKC"),
    "masked": Preparation(mask=("urls", "mentions", "emails")),
    "redacted": Preparation(redact=tuple(WORDS), phone_regions=REGIONS),
    "lower case": Preparation(lowercase=True),
    "no punctuation": Preparation(strip_punctuation=True),
    "no stop words": Preparation(stop_words=LANGUAGES),
    "neither": Preparation(strip_punctuation=True, stop_words=LANGUAGES),
}

Bools = NDArray[np.bool_]


class Data(NamedTuple):
    """Texts and labels of a set; `test` says which of them are looked at once."""

    texts: list[str]
    labels: NDArray[np.str_]
    test: Bools


class Line(NamedTuple):
    """One way on one set: test accuracy of both models, and points gained over the text as sent, with an interval."""

    data: str
    way: str
    changed_share: float
    head: float
    gain: tuple[float, float, float]
    words: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--texts", type=int, default=None, help="of each set, at most")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        print(f"skipped: {FOLDER_VARIABLE} names no folder of labelled texts", file=sys.stderr)
        return 0
    engine = engine_of(read_folder("minilm"), EngineRecipe())
    found: list[Line] = []
    for name in arguments.sets:
        found += measure(name, read(Path(folder) / f"{name}.jsonl", arguments.texts), engine)
    if arguments.json:
        print_json({"preparation": [line._asdict() for line in found]})
    else:
        print("\n".join(table(found)))
    return 0


def read(path: Path, most: int | None) -> Data:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()][:most]
    return Data(
        [r["text"] for r in rows], np.array([r["label"] for r in rows]), np.array([r["split"] == "test" for r in rows])
    )


def measure(name: str, data: Data, engine: Any) -> list[Line]:
    lines: list[Line] = []
    plain: Bools | None = None
    for way, prepare in WAYS.items():
        texts = [prepare(text) for text in data.texts]
        changed = float(np.mean([text != before for text, before in zip(texts, data.texts, strict=True)]))
        right = _head(texts, data, engine) if changed or plain is None else plain
        plain = right if plain is None else plain
        words = _words(texts, data)
        lines.append(Line(name, way, changed, float(right.mean()), gain(right, plain), float(words.mean())))
    return lines


def _head(texts: Sequence[str], data: Data, engine: Any) -> Bools:
    """Which test texts a head gets right, fitted as `train_head` does."""
    embedded = engine.infer(engine.tokenize(texts)).embeddings
    model = LogisticRegression(C=C, max_iter=MAX_ITERATIONS, random_state=0)
    model.fit(embedded[~data.test], data.labels[~data.test])
    return np.asarray(model.predict(embedded[data.test]) == data.labels[data.test])


def _words(texts: Sequence[str], data: Data) -> Bools:
    known = [text for text, test in zip(texts, data.test, strict=True) if not test]
    unseen = [text for text, test in zip(texts, data.test, strict=True) if test]
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=C, max_iter=MAX_ITERATIONS))
    model.fit(known, data.labels[~data.test])
    return np.asarray(model.predict(unseen) == data.labels[data.test])


def gain(right: Bools, plain: Bools) -> tuple[float, float, float]:
    """Points of accuracy over `plain`, and the 90 % interval of a bootstrap over pairs."""
    difference = 100 * (right.astype(np.float64) - plain)
    draws = np.random.default_rng(0).integers(len(difference), size=(DRAWS, len(difference)))
    low, high = np.quantile(difference[draws].mean(axis=1), (0.05, 0.95))
    return float(difference.mean()), float(low), float(high)


def table(found: Sequence[Line]) -> list[str]:
    rows = ["| Set | Texts | Changed | Head on MiniLM | Points (90 %) | Bag of words |", "|---|---|---|---|---|---|"]
    for line in found:
        mean, low, high = line.gain
        points = "" if line.way == "as sent" else f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"
        rows.append(
            f"| {line.data} | {line.way} | {line.changed_share:.0%} | {line.head:.3f} | {points} | {line.words:.3f} |"
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
