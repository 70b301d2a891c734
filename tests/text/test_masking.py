"""URLs, mentions and e-mail addresses become one word each; what stands around them stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.text.masking import MASKS, mask_emails, mask_mentions, mask_urls

URLS = {
    "in_a_sentence": ("see https://example.org/a?b=c#d, or not", "see [url], or not"),
    "end_of_sentence": ("(go to www.example.org/x).", "(go to [url])."),
    "upper_case": ("HTTP://EXAMPLE.ORG now", "[url] now"),
    "in_angles": ("<http://example.org>", "<[url]>"),
    "two": ("http://a.example http://b.example", "[url] [url]"),
    "no_scheme": ("example.org is a name, 1.5 a number", "example.org is a name, 1.5 a number"),
    "within_a_word": ("xhttp://a", "xhttp://a"),
}
MENTIONS = {
    "plain": ("@bob hi", "[user] hi"),
    "end_of_sentence": ("thanks @bob_1.", "thanks [user]."),
    "domain": ("by @bob.example.social!", "by [user]!"),
    "federated": ("by @bob@example.social", "by [user]"),
    "other_scripts": ("привет @иван", "привет [user]"),
    "address": ("bob@example.org", "bob@example.org"),
    "at": ("2 @ 3 @", "2 @ 3 @"),
}
EMAILS = {
    "plain": ("to bob.b+x@mail.example.org.", "to [email]."),
    "next_to_chinese": ("请联系bob@example.cn谢谢", "请联系[email]谢谢"),
    "in_angles": ("Bob <bob@example.org>,", "Bob <[email]>,"),
    "no_domain": ("bob@localhost", "bob@localhost"),
}


@pytest.mark.parametrize(("text", "masked"), URLS.values(), ids=URLS.keys())
def test_urls(text: str, masked: str) -> None:
    """A URL goes, the sentence's punctuation behind it stays."""
    assert mask_urls(text) == masked


@pytest.mark.parametrize(("text", "masked"), MENTIONS.values(), ids=MENTIONS.keys())
def test_mentions(text: str, masked: str) -> None:
    """A mention goes, an address is none."""
    assert mask_mentions(text) == masked


@pytest.mark.parametrize(("text", "masked"), EMAILS.values(), ids=EMAILS.keys())
def test_emails(text: str, masked: str) -> None:
    """An address goes, whatever language is around it."""
    assert mask_emails(text) == masked


@given(st.lists(st.sampled_from(["@", "a", ".", " ", "bob@example.org", "é", "-", "1", "_", "+"])))
def test_no_address_is_left(pieces: list[str]) -> None:
    """However addresses run into one another, none can be read afterwards."""
    once = mask_emails("".join(pieces))
    assert "bob@example.org" not in once
    assert mask_emails(once) == once


@pytest.mark.parametrize("piece", ["a@", "a.", "@", "@a@", "http:", "http://", "www.", "a@b.", "+", "@a."])
def test_repetition_is_no_bomb(piece: str) -> None:
    """A megabyte of any one piece comes to an end; quadratic time would take this test minutes."""
    for mask in MASKS.values():
        assert mask("x" + piece * (1_000_000 // len(piece)))
