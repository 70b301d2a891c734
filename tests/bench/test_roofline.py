"""Operations counted, and the machine's limit measured."""

from __future__ import annotations

import pytest

from tests.model.tiny import config_of
from worker.bench.roofline import Roofline, Shape, pass_flops, product_flops, repeated

MINILM = Shape(hidden=384, inner=1536, layers=6)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_shape_is_read_off_any_families_config(kind: str) -> None:
    """Families name the same sizes differently."""
    assert Shape.of(config_of(kind)) == Shape(hidden=16, inner=24, layers=2)


def test_products_are_two_operations_for_each_weight_and_token() -> None:
    """MiniLM-L6's layers have 10.6 million weights in matrices: 21.2 MFLOP a token."""
    assert product_flops(MINILM, 1) == 2 * 6 * (4 * 384 * 384 + 2 * 384 * 1536)
    assert product_flops(MINILM, 1000) == 1000 * product_flops(MINILM, 1)


def test_attention_grows_with_the_square_of_each_text() -> None:
    """Scores and weighted values are two products of a text with itself; other texts do not count."""
    attention = [pass_flops(MINILM, [n]) - product_flops(MINILM, n) for n in (10, 20)]
    assert attention == [4 * 384 * 6 * 100, 4 * 384 * 6 * 400]
    assert pass_flops(MINILM, [10, 20]) == pass_flops(MINILM, [10]) + pass_flops(MINILM, [20])


def test_no_texts_cost_nothing() -> None:
    """And an average over them is the caller's to avoid."""
    assert pass_flops(MINILM, []) == 0


def test_work_runs_at_least_once_however_little_time_there_is() -> None:
    """And what is waited for belongs to the time."""
    done: list[str] = []
    count, seconds = repeated(lambda: done.append("work"), 0.0, lambda: done.append("settled"))
    assert (count, done) == (1, ["work", "settled"])
    assert seconds > 0


def test_the_limit_is_a_rate() -> None:
    """Of any model's shapes, on this machine."""
    assert Roofline(Shape(hidden=16, inner=24, layers=2), tokens=8).flops_per_s(0.0) > 0
