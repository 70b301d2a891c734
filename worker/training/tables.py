"""Rows of JSON lines, CSV, TSV and Parquet files, as streams."""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

from pydantic_core import from_json

from worker.errors import SettingsError
from worker.training.columns import Columns, Row
from worker.training.lines import MAX_ROW_BYTES, text_lines
from worker.training.parquet import parquet_rows
from worker.training.tally import Tally

TableFormat = Literal["json", "csv", "parquet"]

ENDINGS: dict[str, TableFormat] = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSED = (".bz2", ".xz", ".zst", ".zip", ".7z", ".tar", ".tgz")
_DELIMITERS = ",;\t|"


def table_format(path: Path) -> TableFormat | None:
    """By the file's ending, or the one before `.gz`; None where it says nothing."""
    ending = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    return ENDINGS.get(ending.lower())


def rows_of(
    path: Path, columns: Columns, tally: Tally, wanted: Sequence[str] | None = None
) -> Generator[Row, None, None]:
    """Every row that can be read; the others are counted. Raises `SettingsError` for a file that cannot be.

    `wanted` names the columns that will be looked at; where that saves work no others are read.
    """
    match table_format(path):
        case "json":
            yield from _json_rows(path, columns, tally)
        case "csv":
            yield from _csv_rows(path, columns, tally)
        case "parquet" if path.suffix.lower() == ".gz":
            raise SettingsError(f"{path}: Parquet is compressed inside; undo the .gz with gunzip")
        case "parquet":
            yield from parquet_rows(path, wanted)
        case None if path.suffix.lower() in COMPRESSED:
            raise SettingsError(f"{path} is packed in a way that is not read; unpack it, or use .gz")
        case None:
            raise SettingsError(f"{path} is of no known kind; read are {', '.join(ENDINGS)} and folders of mails")


def _json_rows(path: Path, columns: Columns, tally: Tally) -> Iterator[Row]:
    for number, line in enumerate(text_lines(path, columns.encoding, tally), 1):
        if number == 1 and line.lstrip().startswith("["):
            raise SettingsError(f"{path} is one JSON array: write one object a line, e.g. with `jq -c '.[]'`")
        if not line.strip():
            continue
        try:
            row = from_json(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            yield row
        else:
            tally.unreadable(f"{path} line {number} is not a JSON object")


def _csv_rows(path: Path, columns: Columns, tally: Tally) -> Iterator[Row]:
    """The first row names the columns, and shows what parts them. A misquoted row is refused rather than misread."""
    csv.field_size_limit(MAX_ROW_BYTES)  # of the whole process; the default refuses long mails
    lines = text_lines(path, columns.encoding, tally)
    first = next((line for line in lines if line.strip()), "")
    dialect = _dialect(columns.quotes, _delimiter(path, first))
    reader = csv.reader(chain([first], lines), dialect)
    header: list[str] | None = None
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            tally.unreadable(f"{path} line {reader.line_num}: {error}")
            continue
        if header is None:
            header = _header(path, cells)
        elif len(cells) == len(header):
            yield dict(zip(header, cells, strict=True))
        elif cells:
            tally.unreadable(f"{path} line {reader.line_num} has {len(cells)} cells, the header {len(header)}")


def _dialect(quotes: bool, parted_by: str) -> type[csv.Dialect]:
    class Dialect(csv.excel):
        delimiter = parted_by
        quoting = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
        strict = True

    return Dialect


def _header(path: Path, cells: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if len(set(names)) < len(names):
        raise SettingsError(f"{path} has two columns of one name; rename one of them")
    return names


def _delimiter(path: Path, header: str) -> str:
    """A tab where the ending says so, else what the header has most of."""
    if path.name.lower().removesuffix(".gz").endswith((".tsv", ".tab")):
        return "\t"
    return max(_DELIMITERS, key=header.count)
