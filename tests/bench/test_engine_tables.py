"""What the engine's benchmark makes of its figures."""

from __future__ import annotations

import pytest

from benchmarks.engine_ways.comparisons import QUICK, THOROUGH, Effort, Findings
from benchmarks.engine_ways.questions import Figure
from benchmarks.engine_ways.tables import tables, targets
from benchmarks.engine_ways.ways import BATCHES, OUR_PROCESS, OURS, SENTENCE_TRANSFORMERS


def _figure(seconds: float, *, flops: float = 100.0, beside_s: float = 0.0) -> Figure:
    return Figure(seconds=seconds, texts=10, tokens=50, flops=flops, limit_flops_per_s=200.0, beside_s=beside_s)


def _found() -> Findings:
    """This engine takes a second for 100 operations where the machine could do 200: half of the limit."""
    return Findings(
        ways={BATCHES: [_figure(20.0), _figure(16.0), _figure(30.0)], OURS: [_figure(1.0)] * 3},
        unavailable={SENTENCE_TRANSFORMERS: "sentence_transformers is not installed"},
        sizes={
            (32, True): [_figure(0.5)],
            (32, False): [_figure(1.0)],
            (1024, True): [_figure(0.8)],
            (1024, False): [_figure(0.4)],
        },
        lengths={64: [_figure(1.0)]},
        budgets={(2048, True): [_figure(1.0)], (2048, False): [_figure(2.0)]},
        overlap=[_figure(1.0, beside_s=1.5)],
        beside={OUR_PROCESS: [_figure(1.0, beside_s=1.25)]},
    )


def _table(title: str) -> list[dict[str, object]]:
    return next(table.as_objects() for table in tables(_found()) if table.title.startswith(title))


def _values(device: str = "cpu") -> dict[str, float | None]:
    return {target.name: target.value for target in targets(_found(), device)}


def test_ratios_are_medians_of_the_rounds_ratios() -> None:
    """20, 16 and 30 times as fast: 20."""
    assert _values()[f"{OURS} / {BATCHES}"] == 20.0


def test_a_peer_that_is_not_installed_has_its_reason_in_its_row() -> None:
    """Its target was not measured, and so does not hold."""
    row = next(row for row in _table("ways") if row["way"] == SENTENCE_TRANSFORMERS)
    assert row["texts/s"] == "sentence_transformers is not installed"
    assert row["of the limit"] is None
    target = next(t for t in targets(_found(), "cpu") if SENTENCE_TRANSFORMERS in t.name)
    assert (target.value, target.holds) == (None, False)


def test_rates_of_ways_that_read_a_part_are_of_the_same_average_text() -> None:
    """Operations a second over those of a text: 100 operations of ten texts in twenty seconds are half a text."""
    rates = {row["way"]: row["texts/s"] for row in _table("ways")}
    assert (rates[BATCHES], rates[OURS]) == (0.5, 10.0)


def test_share_of_the_limit_by_batch_size() -> None:
    """What the texts are worth, over what the machine could have done."""
    values = _values()
    assert values["share of the limit, batches of 32"] == 1.0
    assert values["share of the limit, batches of 1024"] == 0.625


def test_packing_is_judged_by_its_worst_batch_size() -> None:
    """Twice as fast at 32 does not make up for half as fast at 1,024."""
    assert _values()["packed / padded, the worst of all batch sizes"] == 0.5


def test_a_card_has_targets_of_its_own() -> None:
    """Against padding alone; the CPU's shares are not asked for."""
    assert _values("cuda")["packed / padded, batches of 1024"] == 0.5
    assert not any("share of the limit" in name for name in _values("cuda"))


def test_work_beside_a_pass_is_told_as_time_over_time_alone() -> None:
    """What was not measured is a blank."""
    slowdowns = {row["beside it"]: row["time / alone"] for row in _table("the pass with other work")}
    assert slowdowns == {
        "tokenising the next batch": 1.5,
        "busy stages, one process": None,
        "busy stages, the engine in a process of its own": 1.25,
    }


def test_nothing_measured_is_told_without_failing() -> None:
    """As where a run was cut to one part."""
    assert not any(target.holds for target in targets(Findings(), "cpu"))
    assert all(line for table in tables(Findings()) for line in table.lines())


@pytest.mark.parametrize("effort", [QUICK, THOROUGH], ids=["quick", "thorough"])
def test_every_measurement_has_as_many_texts_as_it_wants(effort: Effort) -> None:
    """The set is as large as the largest of them, and each batch size fills at least one batch."""
    assert effort.texts >= max(effort.in_order, effort.sorted, effort.budget, effort.beside)
    assert all(count >= size for size, count in effort.sizes.items())
