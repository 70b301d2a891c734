"""Names of clusters, and when they change: not for a word that is a little more typical today."""

from __future__ import annotations

from collections.abc import Mapping

from worker.clusters.wordcounts import Words

NAME_WORDS = 3
STILL_TYPICAL = 2 * NAME_WORDS  # the first words, among which those of a name may change places
CLEARLY_BETTER = 2.0  # times what the old words are worth, together
FADED = 0.2  # of what the last of the best words is worth: one of the name's is gone


class Naming:
    """Gives names; one that a cluster has is changed when it is found outdated at two reviews in a row."""

    def __init__(self) -> None:
        self._outdated: frozenset[int] = frozenset()

    def review(self, words: Mapping[int, Words], names: Mapping[int, str]) -> dict[int, str]:
        """The names from now on, of all clusters that have words or a name."""
        outdated = frozenset(one for one, own in words.items() if one in names and _outdated(names[one], own))
        doubted, self._outdated = outdated & self._outdated, outdated - self._outdated
        return first_names(words, {one: name for one, name in names.items() if one not in doubted})


def first_names(words: Mapping[int, Words], names: Mapping[int, str]) -> dict[int, str]:
    """The names as they are, and the best words of each cluster that has none."""
    found = {one: names.get(one) or ", ".join(word.word for word in own.top[:NAME_WORDS]) for one, own in words.items()}
    return {one: name for one, name in found.items() if name}


def name_words(name: str) -> list[str]:
    """What `first_names` has made it of."""
    return name.split(", ")


def _outdated(name: str, words: Words) -> bool:
    """Whether its words are not what its cluster is about any more, or too few, and others would be clearly better."""
    if not words.top:
        return False
    scores = {word.word: word.score for word in words.top}
    old = [scores.get(word, 0.0) for word in name_words(name)]
    best = list(scores.values())[:NAME_WORDS]
    if min(old) < FADED * best[-1]:
        return True
    typical = len(old) >= len(best) and set(name_words(name)) <= set(list(scores)[:STILL_TYPICAL])
    return not typical and sum(best) > CLEARLY_BETTER * sum(old)
