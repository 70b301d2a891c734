"""Texts of a file for `tagstream clusters`, with labels where it has some, and their embeddings."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from worker.errors import SettingsError

if TYPE_CHECKING:
    from worker.clusters.embedding import Embedded
    from worker.settings import Settings
    from worker.training.columns import Row

PEEKED = 100  # rows that show which columns there are


class Found(NamedTuple):
    """A text as the file has it; its label, several joined, or None."""

    text: str
    label: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """Which columns, and how many texts at most, drawn by `seed`."""

    text: str | None
    label: str | None
    most: int
    seed: int


def read_texts(path: Path, reading: Reading) -> list[Found]:
    """Of JSON lines, CSV, TSV or Parquet by their columns; of another file its lines. Raises `SettingsError`."""
    from worker.training.tables import table_format

    if not path.is_file():
        raise SettingsError(f"{path} is no file: give JSON lines, CSV, TSV, Parquet, or a text a line")
    found = _rows(path, reading) if table_format(path) else _lines(path)
    texts = _sample((each for each in found if each.text.strip()), reading.most, random.Random(reading.seed))
    if not texts:
        raise SettingsError(f"{path} holds no text")
    return texts


def labels_of(texts: Sequence[Found]) -> list[str] | None:
    """None where not every text has one."""
    labels = [text.label for text in texts if text.label is not None]
    return labels if len(labels) == len(texts) else None


def embed(settings: Settings, texts: Sequence[Found]) -> Embedded:
    """As a worker with these settings does it. Raises `SettingsError` and `Stop`."""
    from worker import app, engines, logs, rules
    from worker.cli.training import Terminal
    from worker.clusters.embedding import embedded

    logs.configure("warning", "console")
    app.settle_environment()
    prepare = rules.make_preparation(settings)
    with (
        closing(engines.load_model(settings, log_level="warning")) as engine,
        Terminal().task("embedding texts", len(texts)) as advance,
    ):
        return embedded(engine, [prepare(text.text) for text in texts], advance)


def _rows(path: Path, reading: Reading) -> Iterator[Found]:
    from worker.training.columns import LABEL_NAMES, TEXT_NAMES, Columns, lookup
    from worker.training.columns import labels_of as labels_in
    from worker.training.tables import rows_of
    from worker.training.tally import Tally

    rows = rows_of(path, Columns(), Tally())
    first = list(islice(rows, PEEKED))
    text = _column(path, first, reading.text, TEXT_NAMES, lookup)
    label = _column(path, first, reading.label, LABEL_NAMES, lookup)
    if text is None:
        raise SettingsError(f"{path} has no column of texts ({', '.join(TEXT_NAMES)}): name it with --text")
    for row in chain(first, rows):
        value = lookup(row, text)
        if isinstance(value, str):
            labels = labels_in(lookup(row, label), None) if label is not None else None
            yield Found(value, "|".join(labels) if labels else None)


def _column(
    path: Path,
    rows: Sequence[Row],
    wanted: str | None,
    usual: Sequence[str],
    lookup: Callable[[Row, str], Any],
) -> str | None:
    """The one that is wanted, else the first usual one that is there."""
    if wanted is not None:
        if not any(lookup(row, wanted) is not None for row in rows):
            raise SettingsError(f"{path} has no column {wanted}")
        return wanted
    lower = {name.lower(): name for row in rows for name in row}
    return next((lower[name] for name in usual if name in lower), None)


def _lines(path: Path) -> Iterator[Found]:
    from worker.training.lines import text_lines
    from worker.training.tally import Tally

    return (Found(line.rstrip("\r\n"), None) for line in text_lines(path, None, Tally()))


def _sample(found: Iterable[Found], most: int, random: random.Random) -> list[Found]:
    """A reservoir: each text has the same chance, and no more than `most` are held."""
    kept: list[Found] = []
    for number, each in enumerate(found):
        if number < most:
            kept.append(each)
        elif (place := random.randrange(number + 1)) < most:
            kept[place] = each
    return kept
