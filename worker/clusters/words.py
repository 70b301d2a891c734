"""Words of a text that may stand in the name of a cluster."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

MAX_CHARACTERS = 1000  # of a text that is looked at: words are for a name, not for an index
MAX_WORDS = 24  # of a text
MIN_LETTERS, MAX_LETTERS = 3, 30

# Words that are in no list of a language's articles, pronouns and auxiliaries, and name nothing either: what is left
# of contractions at the apostrophe, negations, and the commonest pairs of characters in Chinese and Japanese.
_LIST = """
    aren couldn didn doesn don hadn hasn haven isn shouldn wasn weren wouldn
    not cannot nicht kein keine pas niet
    我们 你们 他们 它们 自己 这个 那个 这些 那些 什么 怎么 一个 没有 可以 因为 所以 但是 如果 就是 不是 还是 已经
    です ます した して ない いる ある こと この その ため など から まで では には ので のに
"""
_NAMELESS = frozenset(_LIST.split())
# Han, kana, Thai, Lao, Burmese, Khmer: written without spaces, so a pair of characters stands for a word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Marks that are no letters to `re`, but inside words: accents, Hebrew and Arabic points, Indic vowel signs.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u065f\u0900-\u0963\u0971-\u0dff"
_TOKEN = re.compile(f"([{_UNSPACED}]+)|((?:(?![{_UNSPACED}])(?:[^\\W\\d_]|[{_MARKS}]))+)")


def words(text: str, stop_words: frozenset[str] = frozenset()) -> list[str]:
    """Different words of a text, lower-case, in their order; addresses, numbers and `stop_words` left out."""
    start = html.unescape(text[:MAX_CHARACTERS]).lower()  # else `amp` would be a word
    plain = " ".join(part for part in start.split() if not _is_address(part))
    found: dict[str, None] = {}
    for word in _tokens(plain):
        if word in stop_words or word in _NAMELESS:
            continue
        found[word] = None
        if len(found) == MAX_WORDS:
            break
    return list(found)


def _is_address(part: str) -> bool:
    return "@" in part or "://" in part or part.startswith("www.")


def _tokens(text: str) -> Iterator[str]:
    for unspaced, word in _TOKEN.findall(text):
        if unspaced:
            yield from (unspaced[i : i + 2] for i in range(len(unspaced) - 1))
        elif MIN_LETTERS <= len(word) <= MAX_LETTERS:
            yield word
