"""Which language a text is in: named where it is clear, by the sender where it says so, else null."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.text import language
from worker.text.decode import Decoder
from worker.text.language import MAX_CHARACTERS, LanguageIdentifier, WithLanguage
from worker.types import DeadLetter, Message, Record

pytest.importorskip("py3langid", reason="needs the extra: pip install 'tagstream[text]'")


@pytest.fixture(scope="module")
def identify() -> LanguageIdentifier:
    return LanguageIdentifier()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("de", "Der Zug nach Köln fährt heute leider erst eine Stunde später ab."),
        ("en", "The train to Cologne will unfortunately leave an hour late today."),
        ("es", "El tren a Colonia sale hoy, por desgracia, con una hora de retraso."),
        ("fr", "Le train pour Cologne partira malheureusement avec une heure de retard."),
        ("ru", "К сожалению, поезд в Кёльн сегодня отправится на час позже."),
        ("ja", "ケルン行きの電車は残念ながら今日一時間遅れて出発します。"),
        ("zh", "很遗憾，今天开往科隆的火车将晚点一小时发车。"),
        ("zh", "今日去邊度食飯呀？我哋約咗七點喺旺角等。"),
        ("en", "PLEASE CALL BACK AS SOON AS POSSIBLE, THE OFFER ENDS TONIGHT"),
    ],
)
def test_a_clear_language_is_named(identify: LanguageIdentifier, code: str, text: str) -> None:
    """By its ISO 639-1 code; a language within Chinese, such as Cantonese, is Chinese."""
    assert identify(text) == code


@pytest.mark.parametrize(
    "text", ["ok", "lol", "12345 !!!", "😂😂😂", "http://example.com/a", "asdfgh qwerty", "", "\ud800"]
)
def test_what_is_short_or_no_language_is_null(identify: LanguageIdentifier, text: str) -> None:
    """There is no guess from a word or two, from numbers, smileys or an address."""
    assert identify(text) is None


def test_only_the_beginning_is_read(identify: LanguageIdentifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a text is, it costs what its first characters cost."""
    seen: list[str] = []
    text = "Das ist ein Satz. " * 100_000
    found = type("Model", (), {"classify": lambda self, text: (seen.append(text), ("de", 0.9))[1]})()
    monkeypatch.setattr(identify, "_model", found)
    assert identify(text) == "de"
    assert seen == [text[:MAX_CHARACTERS]]


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        pytest.param(("sv", 0.51), "sv", id="likelier-than-all-others"),
        pytest.param(("sv", 0.49), None, id="not-likely-enough"),
        pytest.param(("zxx", 0.99), None, id="no-language"),
        pytest.param(("arz", 0.9), "ar", id="within-another"),
        pytest.param(("vec", 0.9), None, id="without-two-letters"),
    ],
)
def test_which_answers_count(
    identify: LanguageIdentifier, monkeypatch: pytest.MonkeyPatch, answer: Any, named: str | None
) -> None:
    """Half of the probability or more, and a code of two letters."""
    monkeypatch.setattr(identify, "_model", type("Model", (), {"classify": lambda self, text: answer})())
    assert identify("a text") == named


def test_all_that_is_named_has_two_letters(identify: LanguageIdentifier) -> None:
    """The codes are a closed set, whatever the library calls its languages."""
    labels = identify._model.labels
    assert set(language._WITHIN) <= set(labels)
    assert {code for code in language._WITHIN.values() if len(code) != 2} == set()


@given(st.text(max_size=60))
@settings(max_examples=50)
def test_any_text_has_an_answer(identify: LanguageIdentifier, text: str) -> None:
    """A sender can write what it likes: the answer is a code or null."""
    code = identify(text)
    assert code is None or len(code) == 2


def test_a_text_that_breaks_the_library_has_none(identify: LanguageIdentifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in an extra never stops the stream."""
    monkeypatch.setattr(identify, "_model", object())
    assert identify("Das ist ein deutscher Satz.") is None


GERMAN = "Der Zug fährt heute leider erst eine Stunde später ab."


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(f'{{"text": "{GERMAN}"}}', "de", id="named"),
        pytest.param(f'{{"text": "{GERMAN}", "language": "de-AT"}}', "de-AT", id="the-sender-is-right"),
        pytest.param(f'{{"text": "{GERMAN}", "language": "fr"}}', "fr", id="and-when-it-is-wrong-too"),
        pytest.param(f'{{"text": "{GERMAN}", "language": ""}}', "de", id="the-sender-says-nothing"),
        pytest.param('{"text": "ok"}', None, id="unclear"),
    ],
)
def test_the_sender_comes_first(identify: LanguageIdentifier, value: str, expected: str | None) -> None:
    """A language in the input record is kept as it is; else the text's own is named, if it is clear."""
    decoded = WithLanguage(Decoder(max_bytes=1000), identify)(_record(value))
    assert isinstance(decoded, Message)
    assert (decoded.language, decoded.id) == (expected, "in-0-7")


def test_the_text_as_the_model_reads_it_counts(identify: LanguageIdentifier) -> None:
    """Markup that the model does not see names no language either."""
    html = "<p>" + "<b class='read more about this and the other thing'>" * 9 + "</p>" + GERMAN
    decoder = Decoder(max_bytes=10_000, prepare=lambda text: text.rpartition(">")[2])
    decoded = WithLanguage(decoder, identify)(_record(f'{{"text": "{html}"}}'))
    assert isinstance(decoded, Message)
    assert (decoded.language, decoded.original) == ("de", html)


def test_dead_letters_have_no_language(identify: LanguageIdentifier) -> None:
    """What cannot be read goes on as it is."""
    decode = Decoder(max_bytes=10)
    record = _record('{"text": "far too long"}')
    assert isinstance(decode(record), DeadLetter)
    assert WithLanguage(decode, identify)(record) == decode(record)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the start is refused with what to install."""
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(SettingsError, match=r"needs the package py3langid.*: pip install 'tagstream\[text\]'"):
        LanguageIdentifier()


@pytest.mark.parametrize(
    "fault", [OSError("gone"), ValueError("no archive"), EOFError()], ids=lambda e: type(e).__name__
)
def test_an_unreadable_library_is_one_line(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    """A model of it that is damaged, or cannot be unpacked, is said at the start."""

    def broken(*_: object) -> None:
        raise fault

    monkeypatch.setattr("py3langid.langid._load_model_file", broken)
    with pytest.raises(
        SettingsError, match=f"cannot read its model .{type(fault).__name__}.*: install it again"
    ) as told:
        LanguageIdentifier()
    assert "\n" not in str(told.value)


def _record(value: str) -> Record:
    return Record("in", 0, 7, None, None, value.encode(), ())
