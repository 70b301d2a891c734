"""URLs, mentions and e-mail addresses to one word each: that there was one tells a model more than which."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

Masked = Literal["urls", "mentions", "emails"]

_URL = re.compile(r"(?:\bhttps?://|\bftp://|\bwww\.)[^\s<>\"]++", re.IGNORECASE)
_AFTER_URL = ".,;:!?)]}'*_"  # what belongs to the sentence around it
_MENTION = re.compile(r"(?<![\w@/.])@\w{1,64}+(?:[.-]\w{1,64}+){0,4}+(?:@\w{1,64}+(?:[.-]\w{1,64}+){1,4}+)?+")
# Latin letters only: Chinese and Japanese put no space between an address and the words around it.
LATIN = "A-Za-z0-9\u00c0-\u024f"
# It may begin anywhere, for what ends one address can be the beginning of the next.
EMAIL = re.compile(
    rf"[{LATIN}._+%-]{{1,64}}+@(?:[{LATIN}][{LATIN}-]{{0,62}}\.){{1,8}}[A-Za-z\u00c0-\u024f][{LATIN}-]{{1,62}}"
)


def mask_urls(text: str) -> str:
    return _URL.sub(_in_place_of_url, text) if "://" in text or "www." in text or "WWW." in text else text


def mask_mentions(text: str) -> str:
    return _MENTION.sub("[user]", text) if "@" in text else text


def mask_emails(text: str) -> str:
    return EMAIL.sub("[email]", text) if "@" in text else text


def _in_place_of_url(match: re.Match[str]) -> str:
    url = match[0]
    return "[url]" + url[len(url.rstrip(_AFTER_URL)) :]


# In the order in which they are done: an address holds what looks like a mention, a URL what looks like an address.
MASKS: dict[Masked, Callable[[str], str]] = {"urls": mask_urls, "emails": mask_emails, "mentions": mask_mentions}
