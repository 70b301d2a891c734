"""Rows of Parquet files; the only place that knows pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from worker.errors import SettingsError

_BATCH_ROWS = 256  # what is held at a time


def parquet_rows(path: Path, wanted: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows as a stream, of the columns that `wanted` names or that hold what it names. Raises `SettingsError`."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise SettingsError(f"{path} is Parquet, which needs pyarrow: pip install 'tagstream[train]'") from None
    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            columns = None if wanted is None else [n for n in names if any(_holds(n, name, names) for name in wanted)]
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        detail = str(error).splitlines()[0] if isinstance(error, OSError) else "it is damaged or no Parquet file"
        raise SettingsError(f"cannot read {path}: {detail}; write it again, or as JSON lines") from None


def _holds(column: str, name: str, columns: Sequence[str]) -> bool:
    return column == name or (name not in columns and name.partition(".")[0] == column)
