"""Fields are found where the settings say, and unknown ones are kept if asked."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.text.fields import mapping

NESTED: dict[str, str | None] = {"text": "review.body.text", "id": "review.id", "metadata": None}
DOCUMENT = {"review": {"body": {"text": "fine"}, "id": 5, "stars": 4}, "shop": "x", "metadata": {"a": 1}}

CASES: dict[str, tuple[dict[str, str | None], bool, dict[str, Any], dict[str, Any]]] = {
    "nested": (NESTED, False, DOCUMENT, {"text": "fine", "id": 5}),
    "nested_keeping": (
        NESTED,
        True,
        DOCUMENT,
        {"text": "fine", "id": 5, "metadata": {"review": {"stars": 4}, "shop": "x", "metadata": {"a": 1}}},
    ),
    "path_through_a_string": ({"text": "a.b"}, False, {"a": "b"}, {}),
    "path_through_null": ({"text": "a.b"}, False, {"a": None}, {}),
    "null_is_found": ({"text": "a"}, False, {"a": None}, {"text": None}),
    "unmapped_fields_are_not_read": ({"text": "text", "id": None}, False, {"text": "a", "id": 1}, {"text": "a"}),
    "own_metadata_wins": (
        {"text": "text", "metadata": "metadata"},
        True,
        {"text": "a", "b": 1, "c": 2, "metadata": {"b": 3}},
        {"text": "a", "metadata": {"b": 3, "c": 2}},
    ),
    "nothing_unknown": ({"text": "text"}, True, {"text": "a"}, {"text": "a"}),
    "null_metadata": ({"text": "text", "metadata": "m"}, True, {"text": "a", "m": None, "b": 1},
                      {"text": "a", "metadata": {"b": 1}}),
    "wrong_metadata_stays_wrong": ({"text": "text", "metadata": "m"}, True, {"text": "a", "m": [], "b": 1},
                                   {"text": "a", "metadata": []}),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "keep", "document", "expected"), CASES.values(), ids=CASES.keys())
def test_mapping(fields: dict[str, str | None], keep: bool, document: dict[str, Any], expected: dict[str, Any]) -> None:
    """Dotted paths go into objects; what no path names is left out, or kept whole under metadata."""
    before = copy.deepcopy(document)
    assert mapping(fields, keep_unknown=keep)(document) == expected
    assert document == before


DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from("abc"), DOCUMENTS), st.sampled_from(["a", "a.b", "b.c.a"]))
def test_the_rest_is_whole(document: dict[str, Any], path: str) -> None:
    """Whatever the document: nothing raises, nothing of it changes, and text and rest do not share a leaf."""
    before = copy.deepcopy(document)
    fields: dict[str, str | None] = {"text": path}
    found = mapping(fields, keep_unknown=True)(document)
    assert document == before
    assert "text" not in mapping(fields, keep_unknown=False)(found.get("metadata", {}))
