"""Numbers that lead to a person, found by pattern and then proved by their check digits or their numbering plan.

Every pattern is bounded, and a text in which more than `MAX_CHECKED` candidates would have to be proved is one that was
made to be slow: the rest of its candidates are taken at their word.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from worker.text.masking import LATIN

Span = tuple[int, int]
Find = Callable[[str], Iterator[Span]]

MAX_CHECKED = 500  # some 0.5 s for phone numbers; real texts have a handful

_GAP = r"[ \u00a0\u202f.()/\u2010-\u2013-]"
_PHONE = re.compile(rf"(?<![{LATIN}+])(?<!\d:)(?:\+{_GAP}?|\()?\d(?:{_GAP}{{0,3}}\d){{5,40}}(?![{LATIN}])")
# What a plan may hold for a number, and is none: a date, decimals, part of a URL.
_DATE = re.compile(
    r"(?:(?:19|20)\d\d([./-])\d\d?\1\d\d?|(?:[0-2]?\d|3[01])([./-])(?:[0-2]?\d|3[01])\2(?:(?:19|20)\d\d|\d\d))(?![\d./-])"
)
_DECIMALS = re.compile(r"(?:.*(?<![\d.]))?0\.\d|\d+\.\d+\s+\d+\.\d+$")
_IN_URL = re.compile(r"(?:://|www\.)[^\s<>\"]*$", re.IGNORECASE)
_LONGEST_URL = 200  # characters in which its beginning is looked for
_CARD = re.compile(
    r"(?<![\w.,/-])[2-6]\d{3}(?:([ \u00a0-]?)\d{4}\1\d{4}\1\d{1,4}(?:\1\d{3})?|([ \u00a0-]?)\d{6}\2\d{4,5})(?![\w/-])"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d(?:[ \u00a0-]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])")
_SHORTEST_IBAN = 15
_IPV4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{0,36}:[0-9A-Fa-f:]{0,36}(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])")
# Words before a number that say it is of another kind.
_A_VERSION = re.compile(
    r"(?:version|release|build|firmware|update|kernel|driver|chapter|section|kapitel|abschnitt|§|\bv|\brev)"
    r"[ .:#]{0,3}$",
    re.IGNORECASE,
)
_AN_ORDER = re.compile(
    r"(?:#|№|\b(?:order|invoice|ticket|case|booking|tracking|parcel|reference|ref|article|item|serial|isbn|issn|sku|"
    r"bestellung|bestell|rechnung|rechnungs|auftrag|auftrags|vorgang|kunden|artikel|sendung|sendungs|commande|facture|"
    r"pedido|factura|id))[ .:=#-]{0,3}(?:(?:id|no|nr|num|number|nummer|numéro|número|code|is|ist|n°)[ .:#]{0,3}){0,2}$",
    re.IGNORECASE,
)
_BEFORE = 40  # characters in which such a word is looked for


def phones(regions: Sequence[str]) -> Find:
    """Numbers that some plan knows: international ones, and those as they are dialled within `regions` (ISO codes).

    Raises ImportError where `phonenumbers` is not installed.
    """
    from phonenumbers import Leniency, PhoneNumberMatcher

    def find(text: str) -> Iterator[Span]:
        for count, candidate in enumerate(_PHONE.finditer(text)):
            start, end = candidate.span()
            if count >= MAX_CHECKED:
                yield start, end
            elif not _is_of_another_kind(text, start):
                yield from _matched(text, start, end)

    def _matched(text: str, start: int, end: int) -> Iterator[Span]:
        """The matcher judges a number by what stands around it as well."""
        first = max(0, start - 3)
        near = text[first : end + 3]
        for region in regions or (None,):
            for match in PhoneNumberMatcher(near, region, Leniency.VALID, max_tries=20):
                number = match.raw_string.strip()
                begins = first + match.start + match.raw_string.index(number)
                if not _is_none(number, text[max(0, begins - 2) : begins]):
                    yield begins, begins + len(number)

    return find


def _is_of_another_kind(text: str, start: int) -> bool:
    """By what stands before it: the number of an order, or a part of a URL; what begins with `+` is neither."""
    if text[start] == "+":
        return False
    within_url = _IN_URL.search(text, max(0, start - _LONGEST_URL), start)
    return bool(within_url or _AN_ORDER.search(text, max(0, start - _BEFORE), start))


def _is_none(text: str, before: str) -> bool:
    """Decimals, dates, and lists: plans group their digits by twos and more."""
    if text.startswith("+"):
        return False
    groups = len(re.findall(r"\d+", text))
    listed = sum(map(str.isdigit, text)) < 1.5 * groups
    behind_point = before[-1:] in (".", ",") and before[-2:-1].isdigit()
    return listed or behind_point or bool(_DATE.match(text) or _DECIMALS.match(text))


def cards() -> Find:
    """Payment cards by their length, grouping and check digit. Raises ImportError where `stdnum` is not installed."""
    from stdnum import luhn

    def find(text: str) -> Iterator[Span]:
        for count, candidate in enumerate(_CARD.finditer(text)):
            digits = re.sub(r"\D", "", candidate[0])
            if count >= MAX_CHECKED or (_may_be_card(digits) and luhn.is_valid(digits)):
                yield candidate.span()

    return find


def _may_be_card(digits: str) -> bool:
    """By the ranges that the networks were given: Visa, Mastercard, American Express, JCB, Diners, and those with 6."""
    first = digits[0]
    if first == "3":
        return digits[1] in {14: "0689", 15: "47", 16: "5"}.get(len(digits), "")
    if first == "4":
        return len(digits) in (13, 16, 19)
    if first == "2":
        return len(digits) == 16 and 2221 <= int(digits[:4]) <= 2720
    return len(digits) == 16 or (first == "6" and len(digits) <= 19)


def ibans() -> Find:
    """Account numbers of a country's own form with valid check digits. Raises ImportError without `stdnum`."""
    from stdnum import iban

    def find(text: str) -> Iterator[Span]:
        checked = position = 0
        while candidate := _IBAN.search(text, position):
            start, end = candidate.span()
            checked += 1
            if checked <= MAX_CHECKED:
                end = _end_of_iban(candidate[0], partial(iban.is_valid, check_country=False)) + start
            if end > start:
                yield start, end
            position = max(end, start + 1)

    return find


def _end_of_iban(candidate: str, is_valid: Callable[[str], bool]) -> int:
    """A word that follows may look like one more group: of all lengths the one that proves right, or 0."""
    compact = "".join(candidate.replace("\u00a0", " ").replace("-", " ").split())
    for length in range(len(compact), _SHORTEST_IBAN - 1, -1):
        if is_valid(compact[:length].upper()):
            return _index_of(candidate, length)
    return 0


def _index_of(candidate: str, length: int) -> int:
    """Behind so many letters and digits."""
    seen = 0
    for index, character in enumerate(candidate):
        seen += character.isalnum()
        if seen == length:
            return index + 1
    return len(candidate)


def addresses() -> Find:
    """IP addresses of both versions; not the version numbers of software."""

    def find(text: str) -> Iterator[Span]:
        if text.count(".") >= 3:
            for count, candidate in enumerate(_IPV4.finditer(text)):
                start = candidate.start()
                if count >= MAX_CHECKED or (
                    _is_address(candidate[0]) and not _A_VERSION.search(text, max(0, start - _BEFORE), start)
                ):
                    yield candidate.span()
        if text.count(":") >= 2:
            for count, candidate in enumerate(_IPV6.finditer(text)):
                if _may_be_ipv6(candidate[0]) and (count >= MAX_CHECKED or _is_address(candidate[0])):
                    yield candidate.span()

    return find


def _may_be_ipv6(text: str) -> bool:
    """`::` and `a::b` are addresses by the letter, but C++ and emphasis in texts."""
    return text.count(":") >= 2 and any(character.isdigit() for character in text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
