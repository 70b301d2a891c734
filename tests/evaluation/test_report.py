"""The whole evaluation, and its three faces: JSON, terminal, page."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import orjson
import pytest

from tests.evaluation.cases import drawn, facts
from worker.evaluation.answers import Answers, Kind
from worker.evaluation.baseline import Baseline
from worker.evaluation.judge import evaluate
from worker.evaluation.outcome import Evaluation
from worker.evaluation.page import page
from worker.evaluation.plots import draw
from worker.evaluation.terminal import render, render_errors
from worker.evaluation.thresholds import parse_target

NASTY = ("<b>&\"'", "[red]$x_1$", "_垃圾\x1b[31m")


def baseline(test: Answers) -> Baseline:
    return Baseline("linear SVM", "characters", 1.0, 0.9, 0.1, test)


def worsened(answers: Answers, count: int) -> Answers:
    """So many right texts made wrong."""
    scores = answers.scores.copy()
    for i in np.flatnonzero(answers.right)[:count]:
        scores[i] = np.roll(scores[i], 1)
    return replace(answers, scores=scores)


def evaluated(kind: Kind = "single", **options: object) -> Evaluation:
    test = replace(drawn(kind, n=120, seed=1), labels=NASTY)
    wanted = {
        "facts": facts(kind),
        "valid": replace(drawn(kind, n=120, seed=2), labels=NASTY),
        "test": test,
        "lengths": list(range(120)),
        "baselines": [baseline(test)],
        "targets": [parse_target(f"precision=0.9:{NASTY[0]}")],
    }
    return evaluate(**(wanted | options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("own", "other", "line"),
    [
        (0, 25, "BERT pays here: better than"),
        (25, 0, "BERT does not pay here: worse than"),
        (0, 0, "not surely better"),
    ],
    ids=["better", "worse", "equal"],
)
def test_the_first_line_says_whether_it_pays(own: int, other: int, line: str) -> None:
    """By a paired comparison with the best baseline, in all three faces."""
    test = drawn(n=120, seed=1)
    found = evaluated(test=worsened(test, own), baselines=[baseline(worsened(test, other))], targets=[])
    assert line in found.verdict
    assert line in " ".join(render(found).split())[:300]
    assert line in page(found)


def test_without_a_baseline_nothing_is_claimed() -> None:
    """The line gives the figure, and says that there was no comparison."""
    assert evaluated(baselines=[]).verdict.endswith("no baseline was fitted to compare with.")


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_json_is_whole(kind: Kind) -> None:
    """Everything is a plain number or string; nothing is not a number."""
    found = orjson.loads(orjson.dumps(evaluated(kind)))
    assert found["quality"]["figures"]["accuracy"].keys() == {"value", "low", "high"}
    assert (found["quality"]["confusion"] is None) == (kind == "multi")
    assert found["temperature_from"] == "validation"
    assert found["thresholds"][0]["target"]["label"] == NASTY[0]


def test_the_models_own_temperature_is_used() -> None:
    """What a worker applies is what is judged; without one and without validation, nothing is fitted."""
    own = evaluated(facts=replace(facts(temperature=2.0), thresholds={NASTY[1]: 0.8}))
    assert "own threshold of [red]$x_1$, 0.8000: precision" in " ".join(render(own).split())
    assert "own threshold of [red]$x_1$, 0.8000: precision" in page(own)
    assert (own.temperature, own.temperature_from) == (2.0, "model")
    alone = evaluated(valid=None)
    assert (alone.temperature, alone.temperature_from, alone.thresholds) == (1.0, "nowhere", ())
    assert alone.before == alone.after


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_the_terminal_has_80_columns(kind: Kind) -> None:
    """Also with labels that hold markup, wide characters and escape codes, which the terminal never gets."""
    from rich.cells import cell_len

    told = render(evaluated(kind))
    assert max(map(cell_len, told.splitlines())) <= 80
    assert "\x1b" not in told
    assert "[red]$x_1$" in told
    assert not re.search(r"[\d(–]…", told)


def test_errors_are_shown_surest_first() -> None:
    """Asked for, wrong texts appear on one line each, whatever is in them."""
    test = drawn(n=120, seed=1)
    texts = [f"text-{i} \x1b[31mred\nline" for i in range(120)]
    wrong = np.flatnonzero(~test.right)
    surest = wrong[test.sureness[wrong].argmax()]
    lines = render_errors(texts, test, 3).splitlines()
    assert f"3 of {len(wrong)} errors" in lines[0]
    assert f"text-{surest} " in lines[4]
    assert "\x1b" not in "".join(lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_the_page_needs_nothing_else(kind: Kind) -> None:
    """Nothing is fetched; labels are text, never markup; every plot is in it."""
    html = page(evaluated(kind))
    assert not re.findall(r"(?:src|href)=\"(?!data:)|url\(|@import|<script|<link", html)
    assert "<b>&" not in html
    assert "&lt;b&gt;&amp;" in html
    plots = ["reliability", "coverage", "roc", "precision-recall"] + (["confusion"] if kind == "single" else [])
    assert html.count("data:image/svg+xml;base64,") == len(plots)
    assert sorted(draw(evaluated(kind))) == sorted(plots)


def test_the_same_evaluation_is_the_same_page() -> None:
    """To the byte: no dates, no random ids."""
    assert page(evaluated()) == page(evaluated())


def test_many_labels_stay_readable() -> None:
    """Of 30 labels the terminal and the plots show the worst; the page has them all."""
    found = evaluate(
        facts=facts(), valid=None, test=drawn(n=400, labels=30), lengths=[5] * 400, baselines=[], targets=[]
    )
    assert "the 20 worst of 30" in render(found)
    assert "Most frequent mistakes" in render(found)
    assert len(found.curves) == 8
    html = page(found)
    assert all(f"<td>label {i}</td>" in html for i in range(30))
