"""What others ran into has a test each: the rows of the field reports, and the traps of the Kafka client library."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FIELD_REPORTS = range(1, 17)
TRAPS = range(1, 21)  # of kafka-python 3.0.12
NUMBERS = r"{} ((?:\d+)(?:(?:, | and )\d+)*)"


def _docstrings() -> Iterator[str]:
    """Of every test."""
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield ast.get_docstring(node) or ""


def _named(kind: str) -> set[int]:
    pattern = re.compile(NUMBERS.format(kind), re.IGNORECASE)
    return {int(n) for text in _docstrings() for found in pattern.findall(text) for n in re.findall(r"\d+", found)}


@pytest.mark.parametrize("kind", ["field reports?", "traps?"])
def test_each_has_a_test_that_names_it(kind: str) -> None:
    """Mending one would else be forgotten with the next change; the docstring says what a user sees instead."""
    wanted = FIELD_REPORTS if kind.startswith("field") else TRAPS
    assert sorted(set(wanted) - _named(kind)) == []
