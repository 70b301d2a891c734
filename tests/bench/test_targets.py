"""Targets and how they are told."""

from __future__ import annotations

import pytest

from worker.bench.report import as_object, lines
from worker.bench.targets import at_least, at_most, columns, table


@pytest.mark.parametrize(
    ("target", "holds"),
    [
        (at_least("rate", 20.0, 20), True),
        (at_least("rate", 19.9, 20), False),
        (at_least("rate", None, 20), False),
        (at_most("cost", 50.0, 50), True),
        (at_most("cost", 50.1, 50), False),
        (at_most("cost", None, 50), False),
    ],
)
def test_a_target_holds_at_its_bound_and_not_unmeasured(target, holds) -> None:  # type: ignore[no-untyped-def]
    """The bound itself is good enough; what was not measured does not hold."""
    assert target.holds is holds


def test_values_are_rounded_but_judged_before() -> None:
    """0.94999 prints as 0.95 and does not hold."""
    target = at_least("ratio", 0.949996, 0.95)
    assert (target.value, target.holds) == (0.95, False)


def test_the_object_has_the_fields_that_programs_read() -> None:
    """`targets` is a list of name, value, goal, holds."""
    told = as_object({"cpus": 2}, [at_most("cost", 3.0, 5)], {"x": {"y": 1}})
    assert told["targets"] == [{"name": "cost", "value": 3.0, "goal": "<= 5", "holds": True}]
    assert told["machine"] == {"cpus": 2}


def test_people_get_the_machine_the_figures_and_the_targets_last() -> None:
    """Nested figures are named by their path."""
    told = lines({"cpus": 2}, [at_most("cost", 3.0, 5)], {"plain": {"by thread": {"poll": 1234.5}}})
    assert told[:2] == ["machine", "  cpus  2"]
    assert "  by thread: poll  1,234" in told
    assert told[-1].split() == ["cost", "3", "<=", "5", "yes"]


def test_a_table_is_aligned() -> None:
    """Names to the left, numbers to the right."""
    assert columns([("a", "1"), ("bcd", "20")]) == ["a     1", "bcd  20"]
    assert table([at_least("never", None, 1)])[-1].split() == ["never", "not", "measured", ">=", "1", "NO"]
