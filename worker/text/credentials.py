"""Passwords, keys and tokens that somebody pasted into a text."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
)
# What the issuers put in front so that scanners find a lost key.
_PREFIXES = ("AKIA", "ASIA", "gh", "glpat-", "xox", "k_live_", "k_test_", "sk-", "AIza", "npm_", "pypi-", "hf_", "eyJ")
_ISSUED = re.compile(
    r"(?<![\w-])(?:"
    r"A(?:K|S)IA[A-Z0-9]{16}(?![A-Z0-9])"
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255}|glpat-[\w-]{20,64}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,250}"
    r"|[srp]k_(?:live|test)_[A-Za-z0-9]{16,250}|sk-[A-Za-z0-9_-]{20,250}"
    r"|AIza[\w-]{35}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,250}|hf_[A-Za-z0-9]{30,80}"
    r"|eyJ[\w-]{8,4000}+\.eyJ[\w-]{8,4000}+\.[\w-]{8,4000}+"
    r")"
)
_NAMES = ("pass", "pwd", "secret", "key", "token", "kennwort", "contraseña", "пароль")
_NAMED = re.compile(
    r"(?:password|passwd|passwort|kennwort|passphrase|passcode|pwd|secret|api[ _-]?key|secret[ _-]?key|access[ _-]?key"
    r"|auth[ _-]?token|access[ _-]?token|\btoken|mot de passe|contraseña|пароль)[\"']?"
    r"(?P<by>\s{0,3}(?::=|=>|[:=])\s{0,3}|\s{1,3}(?:is|was|ist|lautet|est|es)\s{0,3}:?\s{1,3})[\"'`]?"
    r"(?P<value>[^\s\"'`<>,;]{4,200})",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"(?<=://)[^\s/:@]{0,100}:(?P<value>[^\s/@]{1,200})(?=@)")
_SHORTEST = 6


def secrets(text: str) -> Iterator[tuple[int, int]]:
    """Private keys, tokens known by their prefix, passwords in URLs, and what is said to be a password or key."""
    if "-----BEGIN" in text:
        yield from (match.span() for match in _PEM.finditer(text))
    if any(prefix in text for prefix in _PREFIXES):
        yield from (match.span() for match in _ISSUED.finditer(text))
    if "://" in text and "@" in text:
        yield from (match.span("value") for match in _IN_URL.finditer(text))
    lowered = text.lower()
    if any(name in lowered for name in _NAMES):
        yield from _named(text)


def _named(text: str) -> Iterator[tuple[int, int]]:
    for match in _NAMED.finditer(text):
        value = match["value"].rstrip(".?)")
        if _looks_secret(value, by_sign=match["by"].strip() == "="):
            start = match.start("value")
            yield start, start + len(value)


def _looks_secret(value: str, *, by_sign: bool) -> bool:
    """A word of a language is none ("password: required"), except where it is assigned (`password=letmein`)."""
    plain = value.isalpha() or (value.isdigit() and len(value) < _SHORTEST)
    return len(value) >= _SHORTEST and not value.startswith("[") and (by_sign or not plain)
