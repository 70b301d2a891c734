"""What each way to prepare texts costs or brings: a head, a head that reads characters too, and a bag of words.

`python -m benchmarks.preparation --cache DIR [--multilingual DIR] [--texts N] [--way WAY ...] [--json] [SET ...]`.
TAGSTREAM_DATA names the folder of labelled texts with splits. Heads are trained as `tagstream train` does it: what they
choose they choose on validation, and each looks once at `test`. Intervals are a paired bootstrap of the difference to
the text as sent.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality_cells.cells import HEADS, chosen_sets
from benchmarks.quality_cells.heads import Learning
from benchmarks.quality_cells.sets import Set, read_set
from worker import app, logs
from worker.bench.texts import FOLDER_VARIABLE
from worker.cli.options import print_json
from worker.cli.training import Terminal
from worker.errors import TagstreamError
from worker.model.folder import ModelFolder, read_folder
from worker.model.recipe import EngineRecipe
from worker.text.clean import is_blank
from worker.text.preparation import Preparation
from worker.text.redaction import WORDS
from worker.text.stopwords import LANGUAGES
from worker.training.corpus import SPLITS, Corpus, Example
from worker.training.embedding import Embeddings, embeddings_of

REGIONS = ("CN", "DE", "GB", "US")
DRAWS = 2000
PLAIN = "as sent"
WAYS: dict[str, Preparation] = {
    PLAIN: Preparation(),
    "redacted": Preparation(redact=tuple(WORDS), phone_regions=REGIONS),
    "NFC": Preparation(normalize="NFC"),
    "NFKC": Preparation(normalize="NFKC"),
    "masked": Preparation(mask=("urls", "mentions", "emails")),
    "lower case": Preparation(lowercase=True),
    "no punctuation": Preparation(strip_punctuation=True),
    "no stop words": Preparation(stop_words=LANGUAGES),
    "neither": Preparation(strip_punctuation=True, stop_words=LANGUAGES),
}
WORDS_ALONE = "bag of words"

Bools = NDArray[np.bool_]


class Line(NamedTuple):
    """One way on one set: test accuracy by model, and points gained over the text as sent, with a 90 % interval."""

    data: str
    way: str
    changed_share: float
    accuracy: dict[str, float]
    gain: dict[str, tuple[float, float, float]]


class Prepared(NamedTuple):
    """A corpus whose texts are prepared. `shown` says which test texts are left; the others are blank, and so wrong."""

    corpus: Corpus
    shown: Bools
    changed_share: float


def main() -> int:
    arguments = _arguments()
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        print(f"skipped: {FOLDER_VARIABLE} names no folder of labelled texts", file=sys.stderr)
        return 0
    logs.configure("warning", "console")
    app.settle_environment()
    found: list[Line] = []
    for one in chosen_sets(arguments.sets, quick=False):
        if one.multilingual and not arguments.multilingual:
            print(f"{one.name} is left out: it needs --multilingual DIR", file=sys.stderr)
            continue
        base = read_folder(arguments.multilingual if one.multilingual else "minilm")
        corpus = _first(read_set(Path(folder), one.name), arguments.texts)
        found += measure(
            one, corpus, base, arguments.cache, {PLAIN: WAYS[PLAIN], **{w: WAYS[w] for w in arguments.way}}
        )
    if arguments.json:
        print_json({"preparation": [line._asdict() for line in found]})
    else:
        print("\n".join(table(found)))
    return 0


def measure(one: Set, corpus: Corpus, base: ModelFolder, cache: Path, ways: dict[str, Preparation]) -> Iterator[Line]:
    """The first of the ways is what the others are compared with."""
    embed = _Embedding(base, cache)
    embed.learn([example.text for split in SPLITS for example in corpus.of(split)])
    plain: dict[str, Bools] = {}
    for way, prepare in ways.items():
        ready = prepared(corpus, prepare)
        unchanged = plain and not ready.changed_share
        right = plain if unchanged else dict(_models(ready, prepare, base, embed, cache))
        plain = plain or right
        print(f"{one.name}, {way}: done", file=sys.stderr, flush=True)
        yield Line(
            data=one.name,
            way=way,
            changed_share=ready.changed_share,
            accuracy={model: float(values.mean()) for model, values in right.items()},
            gain={model: gain(right[model], plain[model]) for model in right},
        )


def prepared(corpus: Corpus, prepare: Callable[[str], str]) -> Prepared:
    changed: list[bool] = []
    blank: dict[str, list[bool]] = {split: [] for split in SPLITS}

    def ready(split: Any) -> tuple[Example, ...]:
        done = [replace(example, text=prepare(example.text)) for example in corpus.of(split)]
        changed.extend(new.text != old.text for new, old in zip(done, corpus.of(split), strict=True))
        blank[split] = [is_blank(example.text) for example in done]
        return tuple(compress(done, np.logical_not(blank[split])))

    train, valid, test = map(ready, SPLITS)
    shown = np.logical_not(blank["test"])
    return Prepared(replace(corpus, train=train, valid=valid, test=test), shown, float(np.mean(changed)))


def _models(
    ready: Prepared, prepare: Preparation, base: ModelFolder, embed: _Embedding, cache: Path
) -> Iterator[tuple[str, Bools]]:
    """Which test texts each model gets right."""
    embed.learn([example.text for split in SPLITS for example in ready.corpus.of(split)])
    for name, features in HEADS.items():
        with tempfile.TemporaryDirectory(dir=cache, prefix="prepared-") as scratch:
            head = Learning(base, embed.recipe, features, prepare).fit(ready.corpus, embed.rows, Path(scratch))
        yield name, _all(head.says("test").right, ready.shown)
    yield WORDS_ALONE, _all(_words(ready.corpus), ready.shown)


def _all(right: Bools, shown: Bools) -> Bools:
    whole = np.zeros(len(shown), np.bool_)
    whole[shown] = right
    return whole


def _words(corpus: Corpus) -> Bools:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    (known, labels), (unseen, truth) = (
        ([example.text for example in part], np.array([example.labels[0] for example in part]))
        for part in (corpus.train, corpus.test)
    )
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10.0, max_iter=1000))
    return np.asarray(model.fit(known, labels).predict(unseen) == truth)


class _Embedding:
    """Embeddings by text: what no preparation has changed costs no second pass."""

    recipe = EngineRecipe()

    def __init__(self, base: ModelFolder, cache: Path) -> None:
        self._base, self._cache = base, cache
        self._known: dict[str, NDArray[np.float32]] = {}

    def learn(self, texts: Sequence[str]) -> None:
        new = texts if not self._known else list(dict.fromkeys(text for text in texts if text not in self._known))
        if new:
            rows = embeddings_of(new, folder=self._base, recipe=self.recipe, cache=self._cache, progress=Terminal())
            self._known.update(zip(new, np.nan_to_num(rows), strict=True))

    def rows(self, examples: Sequence[Example]) -> Embeddings:
        return np.stack([self._known[example.text] for example in examples])


def gain(right: Bools, plain: Bools) -> tuple[float, float, float]:
    """Points of accuracy over `plain`, and the 90 % interval of a bootstrap over pairs."""
    difference = 100 * (right.astype(np.float64) - plain)
    draws = np.random.default_rng(0).integers(len(difference), size=(DRAWS, len(difference)))
    low, high = np.quantile(difference[draws].mean(axis=1), (0.05, 0.95))
    return float(difference.mean()), float(low), float(high)


def table(found: Sequence[Line]) -> list[str]:
    """Markdown, with the accuracy of the text as sent and the points that the others differ by."""
    models = (*HEADS, WORDS_ALONE)
    rows = [f"| Set | Texts | Changed | {' | '.join(models)} |", "|---" * (3 + len(models)) + "|"]
    for line in found:
        cells = [f"{line.accuracy[m]:.3f}" if line.way == PLAIN else _points(line.gain[m]) for m in models]
        rows.append(f"| {line.data} | {line.way} | {line.changed_share:.1%} | {' | '.join(cells)} |")
    return rows


def _points(gained: tuple[float, float, float]) -> str:
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*gained)


def _first(corpus: Corpus, most: int | None) -> Corpus:
    """A part of a set, with its splits in the same proportions."""
    whole = sum(len(corpus.of(split)) for split in SPLITS)
    if most is None or most >= whole:
        return corpus
    train, valid, test = (corpus.of(split)[: len(corpus.of(split)) * most // whole] for split in SPLITS)
    return replace(corpus, train=train, valid=valid, test=test)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help="only these")
    parser.add_argument("--cache", type=Path, required=True, metavar="DIR", help="of embeddings")
    parser.add_argument("--multilingual", metavar="DIR", help="the encoder for languages other than English")
    parser.add_argument("--texts", type=int, metavar="N", help="of each set, at most")
    parser.add_argument("--way", action="append", choices=[*WAYS][1:], help="only these")
    parser.add_argument("--json", action="store_true", help="print one object")
    arguments = parser.parse_args()
    arguments.way = arguments.way or [*WAYS][1:]
    return arguments


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TagstreamError as error:
        sys.exit(f"benchmarks.preparation: {error}")
