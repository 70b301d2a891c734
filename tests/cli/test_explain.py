"""`tagstream explain` as it is called: a tiny model, one text."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.model.tiny import config_of, manifest_of, write_encoder, write_json, write_linear, write_sentence_files
from worker.cli import main as cli
from worker.cli.highlight import as_page, show
from worker.model.explain import Explanation, Word
from worker.text.preparation import Preparation, recorded

LABELS = ("ham", "spam")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    encoder = write_encoder(root / "encoder", config_of("bert"))
    write_sentence_files(encoder, pooling={"pooling_mode_mean_tokens": True})
    return write_linear(root / "model", encoder, labels=LABELS)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tagstream", "explain", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        return cli.main(), *capsys.readouterr()

    return run


def explanation(**more: Any) -> Explanation:
    """Made up: four words, one of them against."""
    text = "win <b>now</b>\x1b[31m at home"
    words = tuple(
        Word(text[a:b], a, b, share) for a, b, share in ((0, 3, 2.0), (4, 14, 0.5), (20, 22, 0.01), (23, 27, -1.0))
    )
    given = {
        "model": "m",
        "revision": "r",
        "text": text,
        "label": "spam",
        "scores": {"ham": 0.2, "spam": 0.8},
        "log_odds": 1.4,
        "without": -0.11,
        "words": words,
        "delta": 0.001,
        "steps": 32,
        "truncated": False,
    }
    return Explanation(**(given | more))


def test_the_words_are_listed(call, model):
    """The text, its label with its score, the words by what they add, and how far their sum is off; in 80 columns."""
    code, out, err = call("--model", model, "w1 w2 w3")
    assert (code, err) == (0, "")
    for said in ("scores: ", "w1 w2 w3", "for (+) or against (-)", "convergence: "):
        assert said in out
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out


def test_stdin_is_a_text_too(call, model):
    """Without TEXT all of stdin is one text, and --top limits the table; --json has all words."""
    _, out, _ = call("--model", model, "--top", 1, stdin="w1 w2\nw3\n")
    assert out.count("█ ") + out.count("█\n") == 1
    code, out, _ = call("--model", model, "--json", "--label", "ham", stdin="w1 w2\nw3\n")
    said = json.loads(out)
    assert (code, said["label"], [word["text"] for word in said["words"]]) == (0, "ham", ["w1", "w2", "w3"])
    assert said["holds"] == (said["error"] <= 0.05)


def test_what_was_done_in_training_is_done_here(call, model, tmp_path):
    """A model that was trained on prepared texts is shown the prepared text."""
    folder = write_linear(tmp_path / "model", model, labels=LABELS)
    preparation = recorded(Preparation(mask=("urls",), lowercase=True))
    write_json(folder / "tagstream.json", manifest_of(LABELS, preparation=preparation))
    _, out, _ = call("--model", folder, "--json", "W1 http://example.com/a W2")
    assert json.loads(out)["text"] == "w1 [url] w2"


def test_a_classifier_of_the_settings(call, model, tmp_path):
    """With settings: any trained classifier by its name, its labels as they are renamed there."""
    config = tmp_path / "tagstream.yaml"
    more = [{"name": "second", "path": str(model), "labels": {"spam": "junk"}}]
    zero_shot = [{"name": "topic", "labels": {"a": ["w1"], "b": ["w2"]}}]
    settings = {"model": {"path": str(model), "classifiers": more, "zero_shot": zero_shot}}
    write_json(config, {"input": {"topics": ["texts"]}, **settings})
    code, out, _ = call("--config", config, "--classifier", "second", "--label", "junk", "--json", "w1")
    assert (code, set(json.loads(out)["scores"])) == (0, {"ham", "junk"})
    for name, why in (("topic", "zero-shot"), ("third", "they have: default, second")):
        code, _, err = call("--config", config, "--classifier", name, "w1")
        assert code == cli.WRONG_CALL
        assert why in err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "either --model DIR or --config FILE"),
        (["--model", "a", "--config", "b"], "either --model DIR or --config FILE"),
        (["--model", "a", "--classifier", "b"], "leave it out with --model"),
        (["--model", "a", "--html", "nowhere/page.html"], "no such directory"),
        (["--model", "/no/model"], "no such directory"),
    ],
    ids=["nothing", "both", "classifier", "page", "model"],
)
def test_wrong_calls_are_one_line(call, arguments, why):
    """What cannot be explained is said before anything is loaded."""
    code, out, err = call(*arguments, "text")
    assert (code, out, err.count("\n")) == (cli.WRONG_CALL, "", 1)
    assert why in err


def test_a_page_is_written(call, model, tmp_path):
    """--html writes one file beside what the terminal shows."""
    code, out, _ = call("--model", model, "--html", tmp_path / "page.html", "w1 w2")
    assert code == 0
    assert "convergence" in out
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ">w1</span> <span" in page


def test_a_text_gives_no_orders(capsys):
    """Neither a terminal nor a browser obeys what is in a text."""
    show(explanation(), 10)
    assert "\x1b" not in capsys.readouterr().out
    page = as_page(explanation())
    assert "<b>" not in page
    assert "&lt;b&gt;now&lt;/b&gt;" in page


def test_a_sum_that_misses_is_said(capsys):
    """More than 5 % is a warning, on the terminal and on the page; less is none."""
    show(explanation(), 2)
    fine = capsys.readouterr().out
    show(explanation(delta=0.2, truncated=True), 2)
    bad = capsys.readouterr().out
    assert "warning" not in fine
    assert "more than 5 %" in bad
    assert "longer than the model reads" in bad
    assert "more than 5 %" in as_page(explanation(delta=0.2))


def test_signs_say_what_colours_do(capsys):
    """For and against can be told without colour; the strongest come first."""
    show(explanation(), 2)
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if "█" in line]
    assert rows == [["+2.00", "win"], ["-1.00", "home"]]


def test_words_are_coloured(capsys, monkeypatch):
    """On a terminal words stand out by what they add: strong ones, weak ones, and nothing on those without effect."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    show(explanation(), 2)
    line = next(line for line in capsys.readouterr().out.splitlines() if "win" in line)
    colours = {word: re.search(rf"48;2;([\d;]+)m{re.escape(word)}\x1b", line) for word in ("win", "<b>now</b>", "home")}
    assert [match and match[1] for match in colours.values()] == ["66;146;198", "158;202;225", "241;105;19"]
    assert line.count("48;2;") == 3
    assert "\x1b[31m" not in line
