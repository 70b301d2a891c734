"""Texts to measure with: a folder of JSON lines, or made-up ones whose lengths are spread as people's are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from pydantic_core import from_json, to_json

from worker.errors import SettingsError

FOLDER_VARIABLE = "TAGSTREAM_DATA"
MADE_UP = 4000
# Words of a text: half have fewer than 18, one in a hundred more than 150, as in comments and mails.
MEDIAN_WORDS, SPREAD, MOST_WORDS = 18, 0.9, 400
# Common words are one token each for most tokenisers, as most words of real texts are.
VOCABULARY = """
the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not what
all were we when your can said there use an each which she do how their if will up other about out many then them these
so some her would make like him into time has look two more write go see number no way could people my than first water
been call who oil its now find long down day did get come made may part over new sound take only little work know place
year live me back give most very after thing our just name good sentence man think say great where help through much
before line right too mean old any same tell boy follow came want show also around form three small set put end does
another well large must big even such because turn here why ask went men read need land different home us move try kind
hand picture again change off play spell air away animal house point page letter mother answer found study still learn
"""


def load_texts(folder: Path | None, count: int, seed: int = 0) -> list[str]:
    """`count` texts in a shuffled order that `seed` fixes; where there are fewer, they come again. Raises
    `SettingsError`.
    """
    texts = _made_up(seed) if folder is None else list(_read(folder))
    if not texts:
        raise SettingsError(
            f"{folder} holds no *.jsonl file with a text field; unset {FOLDER_VARIABLE} to make texts up"
        )
    order = np.random.default_rng(seed).permutation(len(texts))
    return [texts[i] for i in itertools.islice(itertools.cycle(order), count)]


def as_values(texts: Sequence[str]) -> list[bytes]:
    """What a producer would send of them."""
    return [to_json({"text": text}) for text in texts]


def _read(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                text = _text(path, number, line)
                if text and not text.isspace():
                    yield text


def _text(path: Path, number: int, line: bytes) -> str | None:
    try:
        document = from_json(line)
    except ValueError:
        raise SettingsError(f"{path} line {number} is not JSON; {FOLDER_VARIABLE} must name JSON lines") from None
    text = document.get("text") if isinstance(document, dict) else None
    return text if isinstance(text, str) else None


def _made_up(seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    lengths = np.clip(random.lognormal(np.log(MEDIAN_WORDS), SPREAD, MADE_UP), 1, MOST_WORDS).astype(int)
    vocabulary = VOCABULARY.split()
    frequency = 1.0 / np.arange(1, len(vocabulary) + 1)
    drawn = random.choice(vocabulary, size=int(lengths.sum()), p=frequency / frequency.sum())
    return [" ".join(words) for words in np.split(drawn, np.cumsum(lengths)[:-1])]
