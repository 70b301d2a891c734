"""Hashed ids can be compared, not turned back."""

from __future__ import annotations

import hashlib
import hmac

from worker.text.identity import KeyedHash


def test_it_is_hmac_sha256() -> None:
    """Anybody who has the key can compute the hash of an id with any tool."""
    expected = hmac.new(b"0123456789abcdef", b"bob@example.org", hashlib.sha256).hexdigest()[:32]
    assert KeyedHash(b"0123456789abcdef")("bob@example.org") == expected


def test_another_key_gives_other_ids() -> None:
    """Whoever lacks the key cannot try ids out."""
    assert KeyedHash(b"0123456789abcdef")("1") != KeyedHash(b"0123456789abcdeg")("1")


def test_the_key_is_not_shown() -> None:
    """Neither a log nor an error can print it."""
    assert "0123" not in repr(KeyedHash(b"0123456789abcdef"))
