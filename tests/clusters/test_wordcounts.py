"""How often words come in clusters, and which are typical of one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clusters.messages import labelled, zipf
from worker.clusters.wordcounts import HALF_LIFE_MESSAGES, KEPT_WORDS, MIN_MESSAGES, VOCABULARY, WordCounts, Words
from worker.clusters.words import MAX_LETTERS, MAX_WORDS

STEP = 256


def counts_of(clusters: int, *steps: tuple[list[int], list[list[str]]]) -> WordCounts:
    counts = WordCounts([Words()] * clusters)
    for rows, messages in steps:
        counts.add(np.array(rows, dtype=np.intp), messages)
    return counts


def typical(counts: WordCounts) -> list[list[str]]:
    return [[word.word for word in own.top] for own in counts.typical()]


def several(*words: str, count: int = MIN_MESSAGES) -> list[list[str]]:
    """Different messages that all have these words."""
    return [[*words, f"only{i}"] for i in range(count)]


def test_typical_words_come_first():
    """A word that every cluster has stands behind those that only one has."""
    counts = counts_of(2, ([0] * 5 + [1] * 5, [*several("order", "refund"), *several("order", "parcel")]))
    assert typical(counts) == [["refund", "order"], ["parcel", "order"]]


def test_no_word_from_fewer_than_five_messages():
    """What only four messages of a cluster say is not shown; with the fifth it is."""
    counts = counts_of(1, ([0] * 4, several("secret", count=4)))
    assert typical(counts) == [[]]
    counts.add(np.zeros(1, np.intp), [["secret", "other"]])
    assert typical(counts) == [["secret"]]


def test_copies_are_one_message():
    """However many copies come, between others too, in whatever order their words are, they show nothing."""
    counts = counts_of(1)
    for turn in range(20):
        copies, others = [["anna", "secret"], ["secret", "anna"]] * 125, [[f"w{i}x{turn}"] for i in range(250)]
        counts.add(np.zeros(500, np.intp), [message for pair in zip(copies, others, strict=True) for message in pair])
    assert typical(counts) == [[]]


def test_messages_of_merged_clusters_are_counted_together():
    """Copies in both are still one message; different messages in both add up."""
    counts = counts_of(2, ([0, 1] * 2, [["copied", "a"]] * 4))
    counts.add(np.array([0, 0, 0, 1, 1]), several("spread"))
    counts.rearrange([(0, 1), ()])
    assert typical(counts) == [["spread"], []]
    counts.add(np.zeros(4, np.intp), several("copied", count=4))
    assert sorted(typical(counts)[0]) == ["copied", "spread"]


def test_recent_messages_count_more():
    """Half of a word's weight is gone after so many messages of its own cluster, and of no other."""
    counts = counts_of(2, ([0] * 8, several("old", count=8)))
    for _ in range(HALF_LIFE_MESSAGES // 100):
        counts.add(np.ones(100, np.intp), [["other"]] * 100)
    assert counts.typical()[0].top[0].weight == pytest.approx(8)
    for _ in range(HALF_LIFE_MESSAGES // 100):
        counts.add(np.zeros(100, np.intp), [["new"]] * 100)
    assert counts.typical()[0].top[0].weight == pytest.approx(4, rel=0.05)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.lists(st.text(max_size=40), max_size=40), max_size=60), st.integers(0, 2**32))
def test_memory_is_bounded(messages, seed):
    """Ever new words, long words and messages of many words: the vocabulary holds, and so does what is kept."""
    counts = counts_of(3)
    for turn in range(4):
        fresh = [[f"rare{seed}x{turn}x{i}x{j}" for j in range(30)] for i in range(200)]
        both = [*messages, *fresh]
        counts.add(np.arange(len(both)) % 3, both)
        assert len(counts._columns) <= VOCABULARY
        assert max(map(len, counts._columns)) <= MAX_LETTERS
    assert counts._weights.sum() <= len(both) * 4 * MAX_WORDS
    assert all(len(own.top) <= KEPT_WORDS for own in counts.typical())
    assert np.isfinite([word.score for own in counts.typical() for word in own.top]).all()


def test_words_of_names_outlive_a_full_vocabulary():
    """Those of a cluster that sleeps too: its name does not change because others speak of ever new things."""
    counts = counts_of(4, ([0] * 5, several("asleep")))
    counts.kept = frozenset(["asleep"])
    for turn in range(20):
        messages = [[f"w{turn}x{i % 50}x{j}" for j in range(20)] for i in range(1000)]
        counts.add(1 + np.arange(1000) % 3, messages)
    assert typical(counts)[0] == ["asleep"]


def exact(labels: np.ndarray, messages: list[list[str]]) -> list[list[str]]:
    """The five words of each cluster with the best c-TF-IDF, of all messages at once, without forgetting anything."""
    rows: list[Counter[str]] = [Counter() for _ in range(int(labels.max()) + 1)]
    for label, message in zip(labels.tolist(), messages, strict=True):
        rows[label].update(message)
    everywhere = sum(rows, Counter())
    average = sum(everywhere.values()) / len(rows)
    return [
        sorted(
            (word for word in row if row[word] >= MIN_MESSAGES),
            key=lambda word: -row[word] / row.total() * np.log1p(average / everywhere[word]),
        )[:5]
        for row in rows
    ]


def test_nearly_the_words_of_an_exact_batch():
    """95 % of the first five words are those of a batch that forgets nothing, of more words than can be known."""
    labels, messages = labelled(13_000)
    messages = [[*message, *rare] for message, rare in zip(messages, zipf(len(messages), prefix="z"), strict=True)]
    counts = counts_of(int(labels.max()) + 1)
    for start in range(0, len(labels), STEP):
        counts.add(labels[start : start + STEP], messages[start : start + STEP])
    assert len({word for message in messages for word in message}) > VOCABULARY
    pairs = list(zip(typical(counts), exact(labels, messages), strict=True))
    assert np.mean([len(set(own[:5]) & set(best)) / max(len(best), 1) for own, best in pairs]) >= 0.95


def test_a_learner_that_comes_after_goes_on_with_the_same_words():
    """From what was kept: the same typical words in the same order, and what is learned next counts alike."""
    labels, messages = labelled(6000)
    one = counts_of(int(labels.max()) + 1, (labels[:4000].tolist(), messages[:4000]))
    other = WordCounts(one.typical())
    for own, again in zip(one.typical(), other.typical(), strict=True):
        assert again.weight == pytest.approx(own.weight, rel=1e-4)
        assert [word.word for word in again.top] == [word.word for word in own.top]
        assert [word.score for word in again.top] == pytest.approx([word.score for word in own.top], rel=0.02)
    other.recall(labels[:4000], messages[:4000])
    for counts in (one, other):
        counts.add(labels[4000:], messages[4000:])
    same = [len(set(own[:3]) & set(again[:3])) / 3 for own, again in zip(typical(one), typical(other), strict=True)]
    assert np.mean(same) > 0.95


def test_recalled_messages_are_not_counted_twice():
    """What was kept has them in it; words that were not kept, as too few messages had them, count from these."""
    messages = [*several("refund", count=8), *several("secret", count=4)]
    one = counts_of(1, ([0] * 12, messages))
    other = WordCounts(one.typical())
    other.recall(np.zeros(12, np.intp), messages)
    assert other.typical()[0].top[0].weight == pytest.approx(one.typical()[0].top[0].weight)
    assert other.typical()[0].weight == pytest.approx(one.typical()[0].weight, rel=0.1)
    assert typical(other) == [["refund"]]
    other.add(np.zeros(1, np.intp), [["secret", "fifth"]])
    assert sorted(typical(other)[0]) == ["refund", "secret"]


def test_words_for_very_many_clusters_have_no_room_all():
    """The best of each are taken first."""
    many = [Words(1.0, tuple(word for word in own.top)) for own in _wide(400).typical()]
    again = WordCounts(many)
    assert len(again._columns) <= VOCABULARY // 2
    assert all(own.top[0].word == before.top[0].word for own, before in zip(again.typical(), many, strict=True))


def _wide(clusters: int) -> WordCounts:
    """Each cluster with 20 words of its own."""
    counts = WordCounts([Words()] * clusters)
    for row in range(clusters):
        counts.add(np.full(MIN_MESSAGES, row), [[*(f"c{row}x{j}" for j in range(20)), f"m{i}"] for i in range(5)])
    return counts
