"""Which field of a JSON document holds what: dotted paths into nested objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from schemas import TextMessage

Document = dict[str, Any]
Path = tuple[str, ...]

_ABSENT = object()


def own_names() -> dict[str, str | None]:
    """The mapping of documents that call their fields what `TextMessage` calls them."""
    return {name: name for name in TextMessage.model_fields}


def mapping(fields: Mapping[str, str | None], *, keep_unknown: bool) -> Callable[[Document], Document]:
    """A function from a document to the fields of a `TextMessage` that are found in it; it changes nothing.

    With `keep_unknown`, what no path names goes under metadata; a field of the sender's own metadata wins over it.
    """
    paths = {name: tuple(path.split(".")) for name, path in fields.items() if path is not None}

    def read(document: Document) -> Document:
        values = ((name, _lookup(document, path)) for name, path in paths.items())
        found = {name: value for name, value in values if value is not _ABSENT}
        return _with_rest(found, _without(document, paths.values())) if keep_unknown else found

    plain = dict(fields) == own_names() and not keep_unknown
    return (lambda document: document) if plain else read


def _lookup(document: Document, path: Path) -> Any:
    value: Any = document
    for key in path:
        value = value.get(key, _ABSENT) if isinstance(value, dict) else _ABSENT
    return value


def _with_rest(found: Document, rest: Document) -> Document:
    metadata = found.get("metadata")
    if not rest or not isinstance(metadata, dict | None):  # metadata of the wrong type is for the validation to refuse
        return found
    return {**found, "metadata": {**rest, **(metadata or {})}}


def _without(document: Document, paths: Iterable[Path]) -> Document:
    rest = dict(document)
    for path in paths:
        _remove(rest, path)
    return rest


def _remove(tree: Document, path: Path) -> None:
    """Take a leaf out of a tree that is ours down to here; objects on the way are copied, emptied ones left out."""
    key, *below = path
    child = tree.get(key)
    if not below:
        tree.pop(key, None)
    elif isinstance(child, dict):
        copy = dict(child)
        _remove(copy, tuple(below))
        if copy:
            tree[key] = copy
        else:
            del tree[key]
