"""Which split a text goes to, and what becomes of its copies."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.training.corpus import SPLITS, Example, Split, fingerprint
from worker.training.sample import Sample
from worker.training.splitting import Keyed, carved_splits, key_of, normalise, settle, split_of
from worker.training.tally import Tally

# Few letters and many marks: so that copies which differ in them come up.
texts = st.text("aB1 9.!", min_size=1, max_size=4) | st.text(min_size=1, max_size=6)
rows = st.lists(st.tuples(texts, st.sampled_from(["x", "y"]), st.sampled_from([None, *SPLITS])), max_size=40)


def keyed(text: str, label: str = "x", split: Split | None = None) -> Keyed:
    return Keyed(key_of(text), Example(text, (label,)), split)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Win  £1,000 NOW!!!", "win 0 now"),
        ("Win 5 now", "win 0 now"),
        ("see HTTPS://a.example/b?c=1 or www.b.example.", "see url or url"),
        ("ﬁne ①", "fine 0"),
        ("it's", "it s"),
        ("की का", "की का"),
        ("!!! 😀", "!!! 😀"),
        ("\ufeffA\u200bb", "a b"),
    ],
    ids=["number", "other number", "links", "compatibility", "apostrophe", "vowel signs", "only marks", "invisible"],
)
def test_texts_are_compared_by_what_a_reader_sees(text: str, plain: str) -> None:
    """Case, links, numbers and punctuation make no new text; letters and their marks do."""
    assert normalise(text) == plain


def test_seventy_fifteen_fifteen() -> None:
    """Of many texts 70 % train, 15 % are for validation and 15 % for the test, the same ones every time."""
    found = Counter(split_of(key_of("word " * (n % 7) + chr(0x4E00 + n))) for n in range(4000))
    assert found["train"] == pytest.approx(2800, abs=120)
    assert found["valid"] == pytest.approx(600, abs=90)
    assert split_of(key_of("a text")) == split_of(key_of("A text!"))
    assert (
        key_of("Wow 12").hex() == "2d56c91c2ea411f24f95b8b09ca4e622"
    )  # another hash would move texts between the splits


@settings(deadline=None)
@given(rows)
def test_no_text_is_on_two_sides(found: list[tuple[str, str, Split | None]]) -> None:
    """Whatever splits the rows name, and whether valid and test are named at all; nothing is lost uncounted."""
    given_rows = [keyed(*row) for row in found]
    tally = Tally()
    splits = settle(given_rows, carved_splits(row.given for row in given_rows), tally)
    seen = [{normalise(example.text) for example in splits[split]} for split in SPLITS]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]
    assert sum(map(len, splits.values())) + tally.dropped.total() == len(found)


@settings(deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_makes_no_difference(
    found: list[tuple[str, str, Split | None]], draw: random.Random
) -> None:
    """The same rows in another order: the same examples in the same order, the same counts, the same fingerprint."""
    given_rows = [keyed(*row) for row in found]
    shuffled = draw.sample(given_rows, len(given_rows))
    tally, other = Tally(), Tally()
    splits, again = settle(given_rows, (), tally), settle(shuffled, (), other)
    assert splits == again
    assert tally == other
    assert fingerprint("single", splits) == fingerprint("single", {s: again[s][::-1] for s in again})


@settings(deadline=None)
@given(rows, st.integers(0, 12), st.randoms(use_true_random=False))
def test_a_sample_depends_on_the_rows_alone(
    found: list[tuple[str, str, Split | None]], most: int, draw: random.Random
) -> None:
    """As many rows as asked for, drawn by the seed, and the same ones in whatever order they come."""
    given_rows = [keyed(*row) for row in found]
    samples = [Sample(most=most, seed=1) for _ in range(2)]
    for sample, ordered in zip(samples, (given_rows, draw.sample(given_rows, len(given_rows))), strict=True):
        for row in ordered:
            sample.add(row)
    first, second = (Counter(sample.rows) for sample in samples)
    assert first == second
    assert first.total() == min(most, len(found))
    assert samples[0].left_out == len(found) - first.total()


def test_another_seed_draws_another_sample() -> None:
    """And copies of a text stay together: only of the last text that fits some may be missing."""
    drawn = []
    for seed in (0, 1):
        sample = Sample(most=30, seed=seed)
        for number in range(300):
            sample.add(keyed(chr(0x4E00 + number // 3)))
        drawn.append({row.example.text for row in sample.rows})
    assert drawn[0] != drawn[1]
    assert [len(texts) for texts in drawn] == [10, 10]


def test_a_copy_in_the_test_is_taken_out_of_train() -> None:
    """What is measured on stays as it was given; train loses the copy, and the count says so."""
    tally = Tally()
    found = settle([keyed("A b!", "x", "train"), keyed("a B", "y", "test"), keyed("c", "x", "train")], (), tally)
    assert found["test"] == (Example("a B", ("y",)),)
    assert found["train"] == (Example("c", ("x",)),)
    assert tally.dropped == {"duplicate_across_splits": 1, "conflicting_labels": 0}


@pytest.mark.parametrize(("labels", "kept"), [("xxy", "xx"), ("xy", ""), ("xxyz", ""), ("xx", "xx")])
def test_copies_that_disagree(labels: str, kept: str) -> None:
    """The label that more than half of the copies have is believed; without one all copies go."""
    tally = Tally()
    found = settle([keyed("a", label, "train") for label in labels], (), tally)
    assert "".join(example.labels[0] for example in found["train"]) == kept
    assert tally.dropped["conflicting_labels"] == len(labels) - len(kept)


def test_splits_that_no_row_names_come_out_of_train() -> None:
    """A file with train and test only: its test stays whole, and validation is a share of its train."""
    found = [keyed(chr(0x4E00 + n), "x", "test" if n < 50 else "train") for n in range(450)]
    carved = carved_splits(row.given for row in found)
    splits = settle(found, carved, Tally())
    assert carved == ("valid",)
    assert len(splits["test"]) == 50
    assert len(splits["valid"]) == pytest.approx(60, abs=25)
    assert {row.text for row in splits["test"]} == {row.example.text for row in found[:50]}


def test_the_fingerprint_sees_every_change() -> None:
    """A text, a label, a split, a copy more, or the kind of the data."""
    one = {"train": [Example("a", ("x",))], "test": [Example("b", ("y",))]}
    others: list[dict[Split, list[Example]]] = [
        {"train": [Example("a.", ("x",))], "test": [Example("b", ("y",))]},
        {"train": [Example("a", ("y",))], "test": [Example("b", ("y",))]},
        {"train": [Example("a", ("x",))], "valid": [Example("b", ("y",))]},
        {"train": [Example("a", ("x",))] * 2, "test": [Example("b", ("y",))]},
    ]
    prints = {fingerprint("single", one), fingerprint("multi", one), *(fingerprint("single", o) for o in others)}
    assert len(prints) == 6
    twice = [fingerprint("single", {"train": [Example(text, ("x",))] * 2}) for text in "ab"]
    assert twice[0] != twice[1]
