"""What the settings make of text, ids and results."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from schemas import Reason
from worker.config import load
from worker.errors import SettingsError
from worker.rules import make_decoder, make_form, make_preparation, make_reader
from worker.settings import Settings
from worker.text.preparation import Preparation
from worker.types import DeadLetter, Decoded, Dropped, Message, Record

KEY = "0123456789abcdef0123"


def _decode(document: dict[str, Any], **sections: dict[str, Any]) -> Decoded:
    decode = make_decoder(Settings.model_validate(sections))
    return decode(Record("in", 0, 7, None, None, json.dumps(document).encode()))


def _message(document: dict[str, Any], **sections: dict[str, Any]) -> Message:
    decoded = _decode(document, **sections)
    assert isinstance(decoded, Message)
    return decoded


def _hashed(identity: str) -> str:
    return hmac.new(KEY.encode(), identity.encode(), hashlib.sha256).hexdigest()[:32]


def test_by_default_only_the_unicode_form_changes() -> None:
    """A text that is in NFC already is what the model sees, without a second copy."""
    assert _message({"text": " <p>É @x"}) == Message("in-0-7", _message({"text": "x"}).origin, " <p>É @x")
    decomposed = _message({"text": "e\u0301"})
    assert (decomposed.text, decomposed.original) == ("é", "e\u0301")


def test_the_model_sees_the_prepared_text() -> None:
    """The text as it was sent is kept beside it."""
    message = _message({"text": "See HTTPS://X.ORG"}, text={"mask": ["urls"], "lowercase": True})
    assert (message.text, message.original) == ("see [url]", "See HTTPS://X.ORG")


@pytest.mark.parametrize(("policy", "kind"), [("drop", Dropped), ("dead_letter", DeadLetter)])
def test_nothing_left_is_a_blank_text(policy: str, kind: type) -> None:
    """A mail of quotes only is treated as `input.blank_text` says."""
    decoded = _decode({"text": "> a\n> b"}, text={"strip_quotes": True}, input={"blank_text": policy})
    assert isinstance(decoded, kind)
    assert getattr(decoded, "reason", None) == Reason.BLANK_TEXT


def test_redaction_before_the_model_is_a_choice() -> None:
    """Redaction is of what is sent on; the model sees all of the text unless it was trained without."""
    redact = {"redact": ["emails"]}
    assert _message({"text": "to a@b.org"}, text=redact).text == "to a@b.org"
    assert _message({"text": "to a@b.org"}, text={**redact, "redact_before_model": True}).text == "to [email]"


def test_preparation_of_the_settings() -> None:
    """Each option of `text` that the model sees the effect of is part of its preparation."""
    text = {
        "normalize": "NFKC",
        "strip_html": True,
        "strip_quotes": True,
        "strip_signatures": True,
        "mask": ["urls"],
        "lowercase": True,
        "strip_punctuation": True,
        "stop_words": ["en"],
        "redact": ["phones"],
        "redact_before_model": True,
        "phone_regions": ["DE"],
    }
    options = {name: value for name, value in text.items() if name != "redact_before_model"}
    assert make_preparation(Settings.model_validate({"text": text})) == Preparation.of_record(options)


def test_form_redacts_only_if_asked() -> None:
    """Without `text.redact` nothing is looked for."""
    assert make_form(Settings()).redact is None
    redact = make_form(Settings.model_validate({"text": {"redact": ["emails"]}})).redact
    assert redact
    assert redact({"to": "a@b.org"}) == {"to": "[email]"}


ORIGINALS = {
    "all_strings": (b'{"text": "a@b.org", "to": ["a@b.org"], "n": 1}', b'{"text":"[email]","to":["[email]"],"n":1}'),
    "nothing_found": (b'{ "text" : "x", "n": 1.50 }', b'{ "text" : "x", "n": 1.50 }'),
    "framed": (b'\0\0\0\0\x07{"text": "a@b.org"}', b'\0\0\0\0\x07{"text":"[email]"}'),
    "utf_16": ('{"text": "é a@b.org"}'.encode("utf-16"), '{"text":"é [email]"}'.encode()),
}


@pytest.mark.parametrize(("value", "sent"), ORIGINALS.values(), ids=ORIGINALS.keys())
def test_originals_are_redacted_whole(value: bytes, sent: bytes) -> None:
    """In a JSON document that is sent on every string is redacted; one in which nothing is found keeps its bytes."""
    settings = Settings.model_validate({"text": {"redact": ["emails"]}, "output": {"format": "original"}})
    form = make_form(settings)
    assert form.redact_original
    assert form.redact_original(value) == sent


def test_ids_are_hashed(tmp_path: Path) -> None:
    """A sender's id becomes its keyed hash, by a key from a file or the environment; coordinates stay."""
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    of_file = {"hash_ids": True, "hash_key_file": str(file)}
    assert _message({"text": "x", "id": "bob"}, output=of_file).id == _hashed("bob")
    assert _message({"text": "x"}, output=of_file).id == "in-0-7"
    settings = load(None, ["output.hash_ids=true"], {"TAGSTREAM_OUTPUT__HASH_KEY": KEY})
    decoded = make_decoder(settings)(Record("in", 0, 7, None, None, b'{"text": "x", "id": 5}'))
    assert isinstance(decoded, Message)
    assert decoded.id == _hashed("5")


@pytest.mark.parametrize("key", ["12345678901234567890", "yes and more: #1 of 20"])
def test_a_key_is_taken_to_the_letter(key: str) -> None:
    """A key from the environment or --set is no YAML."""
    for settings in (load(None, (), {"TAGSTREAM_OUTPUT__HASH_KEY": key}), load(None, [f"output.hash_key={key}"], {})):
        assert settings.output.hash_key is not None
        assert settings.output.hash_key.get_secret_value() == key
        assert key not in repr(settings)


def test_unusable_keys_are_refused(tmp_path: Path) -> None:
    """A key that is missing or could be guessed is refused at start, with how to make one; it is never shown."""
    with pytest.raises(SettingsError, match=r"has 5 bytes, 16 are needed: make one with `openssl rand -hex 32`"):
        _decode({"text": "x"}, output={"hash_ids": True, "hash_key": "short"})
    with pytest.raises(SettingsError, match=r"output\.hash_key_file: cannot read .*none: No such file"):
        _decode({"text": "x"}, output={"hash_ids": True, "hash_key_file": str(tmp_path / "none")})


REFUSED = {
    "no_key": (["output.hash_ids=true"], "output.hash_ids needs output.hash_key_file or output.hash_key: set one of"),
    "two_keys": (["output.hash_ids=true", "output.hash_key=a", "output.hash_key_file=b"], "set one of them"),
    "original_mails": (["text.redact=[ips]", "output.format=original", "input.format=mail"], "that are JSON only"),
    "original_texts_of_a_topic": (
        ["text.redact=[ips]", "output.format=original", "input.topics=[a, {topic: b, format: text}]"],
        "that are JSON only",
    ),
    "nothing_to_redact": (["text.redact_before_model=true"], "text.redact_before_model needs text.redact"),
    "norway": (["text.phone_regions=[NO]"], 'quote Norway in YAML: "NO"'),
    "region": (["text.phone_regions=[germany]"], "text.phone_regions"),
    "kind": (["text.redact=[names]"], "text.redact"),
}


@pytest.mark.parametrize(("assignments", "refusal"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_go_together_is_refused(assignments: list[str], refusal: str) -> None:
    """One line at start says what to change."""
    with pytest.raises(SettingsError) as raised:
        load(None, assignments, {})
    assert refusal in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("asked", [True, False])
def test_languages_are_named_where_the_settings_ask_for_it(asked: bool) -> None:
    """Off by default: then a text has the language that its sender says, or none."""
    pytest.importorskip("py3langid", reason="needs the extra: pip install 'tagstream[text]'")
    read = make_reader(Settings.model_validate({"text": {"identify_language": True}} if asked else {}))
    message = read(Record("in", 0, 0, None, None, '{"text": "Der Zug fährt heute erst um neun Uhr ab."}'.encode()))
    assert isinstance(message, Message)
    assert message.language == ("de" if asked else None)
