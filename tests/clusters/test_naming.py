"""Names of clusters, and when they change."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.clusters.messages import labelled, zipf
from worker.clusters.naming import Naming, first_names
from worker.clusters.wordcounts import Word, WordCounts, Words

WARM_UP, REFRESH = 2048, 1024


def steps(labels: np.ndarray, messages: list[list[str]]) -> Iterator[tuple[np.ndarray, list[list[str]]]]:
    """A warm-up, and what comes between refreshes."""
    ends = [0, *range(WARM_UP, len(labels), REFRESH)]
    return ((labels[start:end], messages[start:end]) for start, end in pairwise(ends))


def typical(**scores: float) -> dict[int, Words]:
    """Of cluster 1."""
    best = sorted(scores.items(), key=lambda item: -item[1])
    return {1: Words(100.0, tuple(Word(word, score, 1.0, 1.0) for word, score in best))}


def test_the_best_words_make_the_first_name():
    """A cluster is named as soon as it has a word that may be shown; one without has no name."""
    assert first_names(typical(card=3, refund=4, late=2, new=1), {}) == {1: "refund, card, late"}
    assert first_names({1: Words()}, {}) == {}
    assert first_names(typical(card=1), {1: "parcel"}) == {1: "parcel"}


def test_a_name_stays_while_its_words_are_typical():
    """Words that change places, or are overtaken by a little, change no name, however often that is looked at."""
    naming, names = Naming(), {1: "refund, card, late"}
    for _ in range(5):
        assert naming.review(typical(new=9, other=8, more=7, late=3, card=2, refund=1), names) == names
        assert naming.review(typical(a=3, b=3, c=3, d=3, e=3, f=3, refund=2, card=2, late=2), names) == names


def test_a_name_changes_at_the_second_look():
    """Other words that are clearly better twice in a row make a new name; once is an accident."""
    naming, old = Naming(), {1: "refund, card, late"}
    better, same = typical(login=9, password=8, code=7, a=6, b=6, c=6, refund=1), typical(refund=3, card=2, late=1)
    assert naming.review(better, old) == old
    assert naming.review(same, old) == old
    assert naming.review(better, old) == old
    new = naming.review(better, old)
    assert new == {1: "login, password, code"}
    assert naming.review(better, new) == new


def test_a_word_that_is_gone_changes_a_name():
    """One word of three that nobody says any more is enough."""
    naming, old = Naming(), {1: "refund, card, wallet"}
    words = typical(refund=9, card=8, late=7, a=6, b=6, c=6, wallet=0.1)
    assert [naming.review(words, old)[1] for _ in range(2)] == ["refund, card, wallet", "refund, card, late"]


def test_a_short_name_grows():
    """A name of one word, the only one at first that might be shown, gets the others when they are worth it."""
    naming = Naming()
    assert naming.review(typical(card=3, late=2.9, new=2.8), {1: "card"}) == {1: "card"}
    assert naming.review(typical(card=3, late=2.9, new=2.8), {1: "card"}) == {1: "card, late, new"}


def test_clusters_without_words_keep_their_names():
    """Where names are made no more, or nobody has written yet, what there is stays."""
    naming = Naming()
    assert [naming.review({1: Words()}, {1: "card"}) for _ in range(3)] == [{1: "card"}] * 3


@given(
    st.lists(st.dictionaries(st.sampled_from("abcdefghij"), st.floats(1e-6, 1e6), max_size=10), min_size=1, max_size=8)
)
def test_a_new_name_is_always_of_the_best_words(rounds):
    """Whatever scores come: a name changes to the best words, never at two looks in a row, and never goes."""
    naming, names, changed = Naming(), {1: "card"}, True
    for scores in rounds:
        words = typical(**scores)
        before, names = names, naming.review(words, names)
        assert names == before or (not changed and names == first_names(words, {}))
        changed = names != before


def test_names_of_a_still_stream_stay():
    """Of messages that go on being about the same, fewer than 5 % of all names change after the third refresh."""
    labels, messages = labelled(40_000)
    clusters = int(labels.max()) + 1
    counts, naming, names, story = WordCounts([Words()] * clusters), Naming(), {}, []
    for rows, part in steps(labels, messages):
        counts.add(rows, part)
        names = naming.review(dict(enumerate(counts.typical())), names)
        story.append(names)
    assert len(story[3]) == clusters
    assert sum(names[one] != story[3][one] for one in names) < 0.05 * clusters


def test_a_learner_that_comes_after_changes_no_more_names():
    """One learner after each refresh, each from what the one before has kept: names stay as with a single one."""
    labels, messages = labelled(16_000)
    clusters = int(labels.max()) + 1
    words, names, story, seen = [Words()] * clusters, {}, [], 0
    naming = Naming()
    for rows, part in steps(labels, messages):
        counts = WordCounts(words)
        counts.recall(labels[max(seen - 4000, 0) : seen], messages[max(seen - 4000, 0) : seen])
        counts.add(rows, part)
        words, seen = counts.typical(), seen + len(rows)
        names = naming.review(dict(enumerate(words)), names)
        story.append(names)
    assert sum(names[one] != story[3][one] for one in names) < 0.1 * clusters


def test_names_follow_the_topic():
    """A cluster whose messages speak of something else by now is called after that."""
    counts, naming = WordCounts([Words()] * 2), Naming()
    zeros, ones = np.zeros(1000, np.intp), np.ones(1000, np.intp)
    names: dict[int, str] = {}
    for turn in range(12):
        word = "old" if turn < 4 else "new"
        counts.add(zeros, [[word, f"{word}er", f"{word}est", f"w{i}x{turn}"] for i in range(1000)])
        counts.add(ones, zipf(1000, seed=turn))
        names = naming.review(dict(enumerate(counts.typical())), names)
        if turn == 3:
            assert set(names[0].split(", ")) == {"old", "older", "oldest"}
    assert set(names[0].split(", ")) == {"new", "newer", "newest"}
