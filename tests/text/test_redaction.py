"""What leads to a person is masked in what is sent on; how much of it is found, and what else is hit, is measured."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.text.numbers import MAX_CHECKED
from worker.text.redaction import WORDS, Found, Redacted, Redaction

REGIONS = ("DE", "FR", "GB", "US")
ALL = Redaction(tuple(WORDS), REGIONS)
SAMPLES = [json.loads(line) for line in Path(__file__).with_name("redaction.jsonl").read_text("utf-8").splitlines()]
# Precision and recall on the samples. What is missed are addresses and numbers spelled out in words, and a password
# that nothing calls one; a password in a URL is masked together with the host behind it.
FLOORS: dict[Redacted, tuple[float, float]] = {
    "secrets": (0.94, 0.90),
    "emails": (1.0, 0.90),
    "ibans": (1.0, 1.0),
    "cards": (1.0, 1.0),
    "ips": (1.0, 1.0),
    "phones": (1.0, 0.97),
}


def _wanted(sample: dict[str, object]) -> Iterator[Found]:
    end = 0
    for kind, value in sample["spans"]:  # type: ignore[attr-defined]
        start = str(sample["text"]).index(value, end)
        end = start + len(value)
        yield Found(start, end, kind)


def test_precision_and_recall() -> None:
    """Each kind is found to the letter, and nothing else is, as often as the guide says; `pytest -s` shows it."""
    found: Counter[Redacted] = Counter()
    wanted: Counter[Redacted] = Counter()
    right: Counter[Redacted] = Counter()
    for sample in SAMPLES:
        expected, got = set(_wanted(sample)), set(ALL.find(sample["text"]))
        wanted.update(place.kind for place in expected)
        found.update(place.kind for place in got)
        right.update(place.kind for place in expected & got)
    figures = {kind: (right[kind] / found[kind], right[kind] / wanted[kind]) for kind in WORDS}
    for kind, (precision, recall) in figures.items():
        sys.stdout.write(f"{kind:8} {wanted[kind]:4} precision {precision:.3f} recall {recall:.3f}\n")
    low = {k: f for k, f in figures.items() if f[0] < FLOORS[k][0] or f[1] < FLOORS[k][1]}
    assert low == {}
    assert sum(wanted.values()) >= 140


def test_samples_hold_what_is_none() -> None:
    """The measure counts order numbers, dates and versions that look like what is looked for."""
    assert sum(not sample["spans"] for sample in SAMPLES) >= 60


@pytest.mark.parametrize("sample", SAMPLES, ids=range(len(SAMPLES)))
def test_redacted_text_is_redacted_once(sample: dict[str, str]) -> None:
    """The words for the kinds are not found again."""
    once = ALL(sample["text"])
    assert ALL(once) == once


def test_text_around_stays() -> None:
    """Only the places themselves are replaced."""
    text = "Bob (bob@example.org) paid 4111 1111 1111 1111,\nfrom 192.0.2.1: thanks"
    assert ALL(text) == "Bob ([email]) paid [card],\nfrom [ip]: thanks"


def test_only_the_kinds_that_were_named() -> None:
    """What is not asked for stays."""
    text = "bob@example.org, +49 30 901820"
    assert Redaction(("phones",))(text) == "bob@example.org, [phone]"
    assert Redaction(("emails",))(text) == "[email], +49 30 901820"


def test_numbers_without_country_code_need_a_country() -> None:
    """A number as it is dialled at home is known only where the settings name the country."""
    assert Redaction(("phones",))("030 901820") == "030 901820"
    assert Redaction(("phones",), ("DE",))("030 901820") == "[phone]"


def test_json_values() -> None:
    """In metadata all strings are redacted, at any depth; names and other values stay."""
    value = {"a@b.org": ["a@b.org", {"x": "a@b.org"}], "n": 4111111111111111, "none": None}
    assert ALL.within(value) == {"a@b.org": ["[email]", {"x": "[email]"}], "n": 4111111111111111, "none": None}


@given(
    st.lists(st.sampled_from(["1", "12 ", "+49", "@a.de", "b", ":", "::", ".", "DE89", " ", "key=", "-", "4111", "/"]))
)
def test_places_are_in_order(pieces: list[str]) -> None:
    """Places do not overlap and lie within the text, whatever it is made of."""
    text = "".join(pieces)
    end = 0
    for place in ALL.find(text):
        assert end <= place.start < place.end <= len(text)
        end = place.end


@pytest.mark.parametrize("number", ["000 111 2223", "4111 1111 1111 1112", "AA00 1234 5678 9012 3456", "999.1.1.1"])
def test_too_many_candidates_are_all_masked(number: str) -> None:
    """A text made to hold up the checks is masked instead of checked: in doubt nothing is given away."""
    text = f"{number} , " * (MAX_CHECKED + 20)
    assert number not in ALL(text)[-100:]


BOMBS = [
    "1",
    "1 ",
    "1-",
    "1.",
    "1:",
    ":",
    "a:",
    "::1 ",
    "a@",
    "@",
    "aa00",
    "DE89 3704 ",
    "eyJ",
    "eyJaaaaaaaa.",
    "sk-",
    "pass",
]
MORE_BOMBS = [
    "-----BEGIN PRIVATE KEY-----",
    "password: ",
    "password=",
    "://a:",
    "://",
    "-",
    " ",
    "_",
    "(",
    "+1",
    "éa",
    "12 34 56 ",
]


@pytest.mark.parametrize("piece", [*BOMBS, *MORE_BOMBS])
def test_repetition_is_no_bomb(piece: str) -> None:
    """A megabyte of any one piece comes to an end; quadratic time would take this test minutes."""
    assert ALL("x" + piece * (1_000_000 // len(piece)))


@given(st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from("0123456789+-. @:"), max_size=60))
def test_any_text_can_be_redacted(text: str) -> None:
    """Whatever a sender writes, what is sent on is text."""
    ALL(text).encode("utf-8")


def test_a_text_that_breaks_a_recogniser_is_masked_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of a library neither stops the stream nor lets the text through."""

    def broken(*_: object) -> NoReturn:
        raise IndexError

    monkeypatch.setattr("phonenumbers.PhoneNumberMatcher", broken)
    assert Redaction(("phones",))("call +49 30 901820 now") == "[phone]"


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the start is refused with what to install."""
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(SettingsError, match=r"phones needs the package phonenumbers.*pip install 'tagstream\[text\]'"):
        Redaction(("phones",))
