"""What `text.identify_language` costs a text, and how often it is right, wrong or null.

`python -m benchmarks.languages [--texts N] [--json] [SET ...]`. TAGSTREAM_DATA names a folder of JSON lines with `text`
and `lang`. Times are CPU time of one thread; each number of characters is of the beginning of a text.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from worker.bench.texts import FOLDER_VARIABLE
from worker.cli.options import print_json
from worker.text import language
from worker.text.language import LanguageIdentifier

SETS = ("sms_spam", "banking77", "germeval2018_de", "cold_zh", "hate_davidson")
CHARACTERS = (25, 50, 100, 200, 400)


class Loaded(NamedTuple):
    """What the library takes of a worker, once."""

    seconds: float
    mebibytes: float


class Line(NamedTuple):
    """One set, cut to so many characters; shares of its texts."""

    data: str
    language: str
    texts: int
    characters: int
    right: float
    wrong: float
    null: float
    cpu_us: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--texts", type=int, default=1000, help="of each set, at most")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        print(f"skipped: {FOLDER_VARIABLE} names no folder of texts with their languages", file=sys.stderr)
        return 0
    identify, loaded = load()
    lines = [line for name in given.sets for line in measure(Path(folder) / f"{name}.jsonl", identify, given.texts)]
    if given.json:
        print_json({"library": loaded._asdict(), "lines": [line._asdict() for line in lines]})
    else:
        print("\n".join(table(loaded, lines)))
    return 0


def load() -> tuple[LanguageIdentifier, Loaded]:
    before, began = _peak_mib(), time.perf_counter()
    identify = LanguageIdentifier()
    seconds = time.perf_counter() - began
    identify("Once for what is made when it is first needed.")
    return identify, Loaded(seconds, _peak_mib() - before)


def measure(file: Path, identify: LanguageIdentifier, most: int) -> Iterator[Line]:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    random.Random(0).shuffle(rows)
    texts, true = [row["text"] for row in rows[:most]], rows[0]["lang"]
    bound = language.MAX_CHARACTERS
    try:
        for characters in CHARACTERS:
            language.MAX_CHARACTERS = characters
            began = time.thread_time()
            found = [identify(text) for text in texts]
            cpu_us = (time.thread_time() - began) / len(texts) * 1e6
            right, null = found.count(true) / len(found), found.count(None) / len(found)
            yield Line(file.stem, true, len(texts), characters, right, 1 - right - null, null, cpu_us)
    finally:
        language.MAX_CHARACTERS = bound


def table(loaded: Loaded, lines: Sequence[Line]) -> Iterator[str]:
    library = f"loading: {loaded.seconds:.2f} s, {loaded.mebibytes:.0f} MiB"
    yield f"{library}; a worker reads {language.MAX_CHARACTERS} characters of a text"
    yield ""
    yield "| set | language | characters | right | wrong | null | CPU us a text |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for line in lines:
        shares = " | ".join(f"{share:.1%}" for share in (line.right, line.wrong, line.null))
        yield f"| {line.data} | {line.language} | {line.characters} | {shares} | {line.cpu_us:.0f} |"


def _peak_mib() -> float:
    """Linux counts it in KiB."""
    peak: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024


if __name__ == "__main__":
    sys.exit(main())
