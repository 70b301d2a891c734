"""Requests to a smart home in several languages, from the wheel of PyPI `home-assistant-intents` (Apache-2.0).

    python sentences.py WHEEL OUT [--train en] [--test de es] [--each 20]

The wheel holds templates that volunteers wrote, each language for itself: `turn on [the] light in {area}`. A sentence
is one random expansion of one template, with words of `words.json` for what people name themselves. OUT gets a file of
JSON lines for each language to test on; all have the same `train` and `valid` parts, in the language to train on. Its
own `test` part is of templates that no other part has.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

WORDS = Path(__file__).with_name("words.json")
# What a request is about, by how its intent begins. Greetings and the like are about nothing.
TOPICS = {
    "HassBroadcast": "announcement",
    "HassClimate": "climate",
    "HassFan": "climate",
    "HassGetCurrent": "clock",
    "HassGetState": "question",
    "HassGetWeather": "weather",
    "HassLawnMower": "cleaning",
    "HassLight": "light",
    "HassList": "list",
    "HassMedia": "media",
    "HassSetPosition": "blinds",
    "HassSetVolume": "media",
    "HassShoppingList": "list",
    "HassTurn": "switch",
    "HassVacuum": "cleaning",
}
SWITCHED = {"cover": "blinds", "fan": "climate", "light": "light"}  # what is switched on or off, if it has a topic
TIMER = re.compile(r"Hass\w*Timer")
SLOTS = {
    "shopping_list_item": "item",
    "todo_list_item": "item",
    "search_query": "search",
    "timer_name": "timer",
    "timer_command": "command",
}
TOKEN = re.compile(r"[\[\](){}<>|;]|[^\[\](){}<>|;]+")
TRAIN, VALID = 0.6, 0.8  # where the templates of a topic are cut


class Template(NamedTuple):
    """`domain`: the kind of thing that its `{name}` names."""

    text: str
    domain: str


class Example(NamedTuple):
    text: str
    label: str
    split: str


class Grammar:
    """One language: `[left out or not]`, `(one|of these)`, `(all;in any order)`, `<rule>`, `{slot}`, and all nested."""

    def __init__(self, content: Mapping[str, Any], words: Mapping[str, Any]) -> None:
        self._rules: Mapping[str, str] = content["expansion_rules"]
        self._lists: Mapping[str, Any] = content["lists"]
        self._words = words
        self._draw = random.Random(0)

    def expand(self, text: str, domain: str = "other") -> str:
        expanded, _ = self._group(TOKEN.findall(text), 0, domain)
        return " ".join(expanded.split())

    def _group(self, tokens: list[str], at: int, domain: str) -> tuple[str, int]:
        """From `at` to the bracket that closes the group, or the end: its text, and where that bracket is."""
        parts, shuffled = [""], False
        while at < len(tokens) and tokens[at] not in ")]":
            if tokens[at] in "|;":
                shuffled = shuffled or tokens[at] == ";"
                parts.append("")
                at += 1
            else:
                piece, at = self._piece(tokens, at, domain)
                parts[-1] += piece
        if shuffled:
            self._draw.shuffle(parts)
            return " ".join(parts), at
        return self._draw.choice(parts), at

    def _piece(self, tokens: list[str], at: int, domain: str) -> tuple[str, int]:
        """One word, group, rule or slot, and where the next one begins."""
        token = tokens[at]
        if token in "([":
            inner, end = self._group(tokens, at + 1, domain)
            return "" if token == "[" and self._draw.random() < 0.5 else inner, end + 1
        if token == "<":
            return self._group(TOKEN.findall(self._rules[tokens[at + 1]]), 0, domain)[0], at + 3
        if token == "{":
            return self._slot(tokens[at + 1].partition(":")[0], domain), at + 3
        return token, at + 1

    def _slot(self, name: str, domain: str) -> str:
        listed = self._lists.get(name, {})
        if "range" in listed:
            bounds = listed["range"]
            return str(self._draw.randrange(bounds["from"], bounds["to"] + 1, bounds.get("step", 1)))
        if "values" in listed:
            value = self._draw.choice(listed["values"])
            return self.expand(value["in"] if isinstance(value, dict) else value, domain)
        words = self._words[SLOTS.get(name, name)]
        return str(self._draw.choice(words.get(domain, words["other"]) if name == "name" else words))


def read(wheel: Path, language: str) -> dict[str, Any]:
    with zipfile.ZipFile(wheel) as archive:
        content: dict[str, Any] = json.loads(archive.read(f"home_assistant_intents/data/{language}.json"))
    return content


def templates(content: Mapping[str, Any]) -> dict[str, list[Template]]:
    """By topic, each once, in the order of a hash: mixed, and the same every time."""
    found: dict[str, dict[str, Template]] = {}
    for intent, described in content["intents"].items():
        for block in described["data"]:
            domain = _domain(block)
            topic = _topic(intent, domain)
            if topic is not None:
                known = found.setdefault(topic, {})
                known.update((text, Template(text, domain)) for text in block["sentences"])
    return {topic: [known[text] for text in sorted(known, key=_hash)] for topic, known in sorted(found.items())}


def examples(content: Mapping[str, Any], words: Mapping[str, Any], each: int, *, learned: bool) -> Iterator[Example]:
    """At most `each` of a topic, a third of that for `valid`; of a language that is not `learned` for `test` alone."""
    grammar = Grammar(content, words)
    for topic, written in templates(content).items():
        first, second = round(len(written) * TRAIN), round(len(written) * VALID)
        parts = {"train": written[:first], "valid": written[first:second], "test": written[second:]}
        for split, some in parts.items() if learned else [("test", written)]:
            most = math.ceil(each / 3) if split == "valid" else each
            yield from (Example(text, topic, split) for text in sorted(_sentences(grammar, some, most)))


def _sentences(grammar: Grammar, written: list[Template], count: int) -> set[str]:
    """Each template in turn, so that one with many expansions does not crowd out the others."""
    found: set[str] = set()
    for i in range(3 * count if written else 0):
        if len(found) < count:
            found.add(grammar.expand(*written[i % len(written)]))
    return found


def _domain(block: Mapping[str, Any]) -> str:
    named = block.get("slots", {}).get("domain") or block.get("requires_context", {}).get("domain") or ["other"]
    domains = [named] if isinstance(named, str) else named
    return domains[0] if len(domains) == 1 else "other"


def _topic(intent: str, domain: str) -> str | None:
    if TIMER.match(intent):
        return "timer"
    topic = next((topic for start, topic in TOPICS.items() if intent.startswith(start)), None)
    return SWITCHED.get(domain, topic) if topic == "switch" else topic


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = json.loads(WORDS.read_text(encoding="utf-8"))
    parser.add_argument("wheel", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", default="en", choices=words)
    parser.add_argument("--test", nargs="+", default=["de", "es"], choices=words)
    parser.add_argument(
        "--each", type=int, default=20, help="sentences of a topic to learn from, and to judge by, at most"
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    own = list(examples(read(given.wheel, given.train), words[given.train], given.each, learned=True))
    labels = set.intersection(*({e.label for e in own if e.split == split} for split in ("train", "valid", "test")))
    learned = [example for example in own if example.split != "test" and example.label in labels]
    for language in dict.fromkeys((given.train, *given.test)):
        content = read(given.wheel, language)
        found = own if language == given.train else examples(content, words[language], given.each, learned=False)
        judged = [example for example in found if example.split == "test" and example.label in labels]
        lines = [json.dumps(example._asdict(), ensure_ascii=False) for example in (*learned, *judged)]
        (given.out / f"{language}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{language}.jsonl: {len(learned)} sentences in {given.train} to learn from, {len(judged)} to judge by")


if __name__ == "__main__":
    main()
