"""A text is prepared in the same way in training and in the worker, and a difference is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.text.preparation import Preparation, recorded, refuse_mismatch

ALL = Preparation(
    normalize="NFKC",
    strip_html=True,
    strip_quotes=True,
    strip_signatures=True,
    redact=("emails", "phones"),
    phone_regions=("DE",),
    mask=("urls", "mentions"),
    lowercase=True,
    strip_punctuation=True,
    stop_words=("en",),
)

CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "nothing": ({}, " <p>Ａ e\u0301 &amp; ", " <p>Ａ e\u0301 &amp; "),
    "nfc": ({"normalize": "NFC"}, "Ａ e\u0301", "Ａ é"),
    "nfkc": ({"normalize": "NFKC"}, "Ａ ﬁ e\u0301", "A fi é"),
    "html": ({"strip_html": True}, "<p>a &amp; <b>b</b></p><p>c</p>", "a & b\nc"),
    "html_quotes": ({"strip_html": True, "strip_quotes": True}, "<p>Yes</p><blockquote>no</blockquote>", "Yes"),
    "quotes": ({"strip_quotes": True}, "Yes\n> no", "Yes"),
    "signatures": ({"strip_signatures": True}, "Yes\n-- \nAnn", "Yes"),
    "redact": ({"redact": ("emails",)}, "to a@b.org", "to [email]"),
    "redact_phones": ({"redact": ("phones",), "phone_regions": ("DE",)}, "030 901820", "[phone]"),
    "mask": ({"mask": ("urls", "mentions", "emails")}, "@ann a@b.org http://c.org/@d", "[user] [email] [url]"),
    "lowercase": ({"lowercase": True}, "ÀB", "àb"),
    "punctuation": ({"strip_punctuation": True}, "a,b! „c“ 5€ 👍 नमस्ते।", "a b   c  5€ 👍 नमस्ते "),
    "stop_words": ({"stop_words": ("en", "de")}, "The cat, and der Hund!", "cat, Hund!"),
}


@pytest.mark.parametrize(("options", "text", "prepared"), CASES.values(), ids=CASES.keys())
def test_each_option(options: dict[str, Any], text: str, prepared: str) -> None:
    """An option does what it says and nothing else."""
    assert Preparation(**options)(text) == prepared


def test_all_together() -> None:
    """Lines and cases are used before they are given up."""
    mail = "<p>HELLO the World, a@b.org!</p><p>WWW.X.ORG</p><blockquote>old</blockquote>"
    assert ALL(mail) == "hello world email url"


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_text_can_be_prepared(text: str) -> None:
    """Whatever comes in, a text that can be encoded comes out, the same each time."""
    prepared = ALL(text)
    prepared.encode("utf-8")
    assert ALL(text) == prepared


PIECES = [
    "<p>",
    "&#1;",
    "> \n",
    "@a",
    "http://",
    "e\u0301",
    "\u0300\u0316",
    "!",
    " ",
    "the ",
    "1 ",
    "a@b.",
    "--\n",
    "Ａ",
]


@pytest.mark.parametrize("piece", PIECES)
def test_repetition_is_no_bomb(piece: str) -> None:
    """A megabyte of any one piece comes to an end; quadratic time would take this test minutes."""
    text = "x" + piece * (1_000_000 // len(piece))
    assert len(ALL(text)) <= 2 * len(text)


# Written down, not computed: another version of Python, or of this file, must come to the same.
FINGERPRINTS = {
    "none": (Preparation(), "ac92f778a9bbee4e"),
    "lower": (Preparation(normalize="NFC", lowercase=True), "6c80064e1bd8f851"),
    "mask": (Preparation(mask=("urls", "emails"), redact=("phones",), phone_regions=("DE", "US")), "2445d2ea533a831c"),
}


@pytest.mark.parametrize(("preparation", "fingerprint"), FINGERPRINTS.values(), ids=FINGERPRINTS.keys())
def test_fingerprint_stays(preparation: Preparation, fingerprint: str) -> None:
    """A model that was trained years ago is still recognised."""
    assert preparation.fingerprint == fingerprint


def test_fingerprint_is_that_of_any_process() -> None:
    """It depends on no hash seed."""
    root = Path(__file__).parents[2]
    options = {"stop_words": ("de", "en"), "mask": ("urls", "emails")}
    code = f"from worker.text.preparation import Preparation; print(Preparation(**{options}).fingerprint)"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == Preparation(stop_words=("en", "de"), mask=("emails", "urls")).fingerprint


@pytest.mark.parametrize("options", [case[0] for case in CASES.values()], ids=CASES.keys())
def test_record_comes_back(options: dict[str, Any]) -> None:
    """What a model records, read from JSON, is the preparation that it was trained with."""
    preparation = Preparation(**options)
    record = json.loads(json.dumps(recorded(preparation)))
    assert Preparation.of_record(record["options"]) == preparation
    refuse_mismatch(record, preparation)


def test_order_means_nothing() -> None:
    """Lists in another order, or with repetitions, are the same preparation; countries without phones are none."""
    assert Preparation(mask=("urls", "emails", "urls")) == Preparation(mask=("emails", "urls"))
    assert Preparation(phone_regions=("DE",)) == Preparation()


def test_mismatch_names_settings() -> None:
    """A worker that would prepare texts in another way is told which settings to change to what."""
    record = recorded(Preparation(lowercase=True, mask=("urls",)))
    with pytest.raises(SettingsError) as refused:
        refuse_mismatch(record, Preparation(normalize="NFC"))
    assert str(refused.value) == (
        "the model was trained with text.normalize none, text.mask [urls], text.lowercase true;"
        " the settings say NFC, [], false: set them as in training"
    )


def test_model_from_elsewhere_goes_with_any_settings() -> None:
    """A model without a record is not refused."""
    refuse_mismatch(None, ALL)


def test_another_version_of_the_code_is_a_mismatch() -> None:
    """The same options under another fingerprint gave other texts."""
    record = {**recorded(ALL), "fingerprint": "0" * 16}
    with pytest.raises(SettingsError, match=r"another version.*train it again"):
        refuse_mismatch(record, ALL)


@pytest.mark.parametrize("options", [{"stem": True}, {"normalize": "NFX"}, {"mask": ["names"]}, {"lowercase": "loud"}])
def test_unknown_options_of_a_model_are_refused(options: dict[str, Any]) -> None:
    """A model of a newer version, or a damaged one, is one line."""
    with pytest.raises(SettingsError):
        refuse_mismatch({"options": options, "fingerprint": "1"}, Preparation())


def test_language_without_list() -> None:
    """Stop words of a language that there is no list for are refused with those that there are."""
    with pytest.raises(SettingsError, match=r"no list for 'xx'; there are .*\bde\b"):
        Preparation(stop_words=("xx",))
