"""Which column of a row holds the text, the labels and the split, and what their values mean."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from worker.errors import SettingsError
from worker.training.corpus import Split

Row = Mapping[str, Any]

TEXT_NAMES = ("text", "message", "body", "content", "sentence", "comment")
LABEL_NAMES = ("label", "labels", "class", "category", "intent", "target")
SPLIT_NAMES = ("split", "subset")
SPLIT_VALUES: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev"), "valid"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}
_DEEPEST = 8  # levels of nested names that an error lists
_A_NAME = re.compile(r"[\w.-]{1,32}")  # of a file without a header, the "names" are somebody's text
_LISTED = 8


@dataclass(frozen=True, slots=True)
class Columns:
    """How tables are to be read. A name left None is the first usual one that is there; dots go into nested objects.

    An empty `split` passes the file's own over. `separator` parts the labels of one cell and so makes the data
    multi-label. `quotes` False: quotes in a CSV or TSV are plain characters. `encoding` None: UTF-8, else guessed.
    """

    text: str | None = None
    label: str | None = None
    split: str | None = None
    separator: str | None = None
    quotes: bool = True
    encoding: str | None = None


class Fields(NamedTuple):
    """The columns of one file, by the names that they have there."""

    text: str
    label: str
    split: str | None

    @property
    def named(self) -> tuple[str, ...]:
        return (self.text, self.label, self.split) if self.split else (self.text, self.label)


def resolve(columns: Columns, rows: Sequence[Row], file: str) -> Fields:
    """The columns as a file's first rows have them. Raises `SettingsError` with the nearest name that is there."""
    names = list(dict.fromkeys(name for row in rows for name in _names(row)))
    text = _find("text", columns.text, TEXT_NAMES, names, file)
    label = _find("label", columns.label, LABEL_NAMES, names, file)
    if columns.split:
        return Fields(text, label, _find("split", columns.split, (), names, file))
    return Fields(text, label, None if columns.split == "" else _usual(SPLIT_NAMES, names))


def lookup(row: Row, name: str) -> Any:
    """A value by its column's name, or by a dotted path; None where there is none."""
    if name in row:
        return row[name]
    value: Any = row
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def labels_of(value: Any, separator: str | None) -> tuple[str, ...] | None:
    """Labels sorted, each once; None where the row has no label. Raises `TypeError` for what is no label.

    Of multi-label data an empty list, or with a separator an empty cell, says that no label applies.
    """
    if value is None or value != value:  # NaN is how data frames write a missing label
        return None
    if isinstance(value, list | tuple):
        return tuple(sorted({name for item in value if (name := _label(item))}))
    if separator is not None and isinstance(value, str):
        return tuple(sorted({name for item in value.split(separator) if (name := item.strip())}))
    return (name,) if (name := _label(value)) else None


def split_of_value(value: Any, where: str) -> Split | None:
    """A given split; None where the row has none. Raises `SettingsError` for an unknown one."""
    if value is None or value != value or not str(value).strip():
        return None
    split = SPLIT_VALUES.get(str(value).strip().lower())
    if split is None:
        shown = repr(value) if _A_NAME.fullmatch(str(value)) else "another value"
        raise SettingsError(
            f"{where}: the split is {shown}; it must be train, valid or test: "
            "mend it, or pass the column over to split by hash"
        )
    return split


def _label(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise TypeError(f"a label is {type(value).__name__}; it must be a string, a number or a list of them")


def _names(row: Mapping[str, Any], prefix: str = "", depth: int = 1) -> Iterator[str]:
    for name, value in row.items():
        yield prefix + name
        if isinstance(value, Mapping) and depth < _DEEPEST:
            yield from _names(value, f"{prefix}{name}.", depth + 1)


def _find(what: str, wanted: str | None, usual: Sequence[str], names: Sequence[str], file: str) -> str:
    found = _usual(usual, names) if wanted is None else wanted if wanted in names else None
    if found is not None:
        return found
    if wanted is None:
        raise SettingsError(f"{file} has no {what} column ({', '.join(usual)}); name it: {_listed(names)}")
    near = [name for name in names if name.lower() == wanted.lower() and _A_NAME.fullmatch(name)]
    near = near or difflib.get_close_matches(wanted, filter(_A_NAME.fullmatch, names), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else _listed(names)
    raise SettingsError(f"{file} has no column {wanted} for the {what}; {hint}")


def _usual(usual: Sequence[str], names: Sequence[str]) -> str | None:
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in usual if name in lower), None)


def _listed(names: Sequence[str]) -> str:
    """Only what can be a name: the first line of a file without a header is not shown."""
    shown = [name for name in names if _A_NAME.fullmatch(name)]
    if len(shown) < len(names):
        return "its first line does not look like a header (column names are words): add one, as in text,label"
    more = f" and {len(shown) - _LISTED} more" if len(shown) > _LISTED else ""
    return f"it has {', '.join(shown[:_LISTED])}{more}"
