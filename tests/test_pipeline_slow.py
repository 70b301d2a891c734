"""Batches that the model would compute for ever: cut by time, until the text that is to blame stands alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.doubles import FakeEngine
from tests.memory import MemoryDelivery, MemoryLog
from tests.workbench import Bench, assert_once_and_in_order, text
from worker.cutting import halves
from worker.errors import TooSlow
from worker.inflight import Load
from worker.types import Batch, Predictions, Tokenized


class Slow(FakeEngine):
    """Too slow for more than `most` texts, and for any with the word `endless`, which alone is given up."""

    def __init__(self, *, most: int = 1_000_000) -> None:
        super().__init__(fail_on="endless")
        self.most = most
        self.passes: list[int] = []

    def infer(self, tokenized: Tokenized) -> Predictions:
        texts = [words for words in tokenized.ids if words is not None]
        self.passes.append(len(texts))
        if len(texts) > 1 and (len(texts) > self.most or any("endless" in words for words in texts)):
            raise TooSlow("told to be slow")
        return super().infer(tokenized)


def _log(count: int, endless: Sequence[int] = (), broken: Sequence[int] = ()) -> MemoryLog:
    log = MemoryLog()
    for n in range(count):
        log.write(b"{broken" if n in broken else text("endless" if n in endless else f"w{n}"))
    return log


def test_a_text_that_takes_for_ever_is_a_dead_letter_by_itself() -> None:
    """Field report 1: its batch is halved until it stands alone; the neighbours come out as results, in order."""
    engine = Slow()
    bench = Bench(_log(16, endless=[5]), engine=engine, max_records=16)
    assert_once_and_in_order(bench.run())
    assert bench.of("dead") == [(0, 5)]
    assert dict(bench.log.outputs["dead"][0].headers)["tagstream-error-reason"] == b"inference_failed"
    assert engine.passes == [16, 8, 4, 4, 2, 1, 1, 2, 8]
    assert bench.in_flight.load == Load()


def test_a_batch_that_is_only_too_large_goes_through_in_parts() -> None:
    """Field report 1: no text is to blame, so there is no dead letter; what follows is polled in smaller batches."""
    engine = Slow(most=3)
    bench = Bench(_log(24), engine=engine, max_records=12)
    assert_once_and_in_order(bench.run())
    assert bench.of("dead") == []
    assert engine.passes[:5] == [12, 6, 3, 3, 6]


def test_parts_commit_by_themselves() -> None:
    """What a restart would have to read again shrinks with each part, so that a crash starts nothing all over."""
    bench = Bench(_log(8), engine=Slow(most=2), max_records=8)
    commits: list[int] = []
    commit = bench.log.commit
    bench.log.commit = lambda outputs, offsets: (commits.extend(offsets.values()), commit(outputs, offsets))[1]  # type: ignore
    assert_once_and_in_order(bench.run())
    assert commits == [2, 4, 6, 8]


def test_a_rebalance_ends_the_search() -> None:
    """Parts of a batch of before a revocation are dropped as it is: its records are read again, once."""
    bench = Bench(_log(8, endless=[6]), engine=Slow(), max_records=8)
    calls: list[str] = []

    def rebalance_once(verb: str) -> None:
        calls.append(verb)
        if calls.count("infer") == 3 and verb == "infer":
            bench.source.rebalance()

    bench.stages.hook = rebalance_once
    assert_once_and_in_order(bench.run())
    assert bench.of("dead") == [(0, 6)]
    assert bench.in_flight.load == Load()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    endless=st.sets(st.integers(0, 19), max_size=3),
    broken=st.sets(st.integers(0, 19), max_size=6),
    lost=st.sets(st.integers(0, 9), max_size=2),
    slots=st.integers(1, 3),
)
def test_every_record_comes_out_once_whichever_are_endless(
    endless: set[int], broken: set[int], lost: set[int], slots: int
) -> None:
    """Beside records without a text, and deliveries that fail: each once, in order, nothing left in flight."""
    log = _log(20, endless=sorted(endless), broken=sorted(broken))
    delivery = MemoryDelivery(log, faults=dict.fromkeys(lost, "lost"))
    bench = Bench(log, engine=Slow(), delivery=delivery, max_records=7, slots=slots)
    assert_once_and_in_order(bench.run())
    assert sorted(bench.of("dead")) == sorted((0, n) for n in endless | broken)
    assert bench.in_flight.load == Load()


@pytest.mark.parametrize("broken", [(), (0, 1, 2, 3), (4, 5, 6, 7), (1, 3, 5, 6)])
def test_halves_have_a_text_each(broken: Sequence[int]) -> None:
    """Whatever else lies between the texts: a half without any would be tried for nothing, and so for ever."""
    bench = Bench(_log(8, broken=broken))
    (prepared,) = bench.stages.prepare(Batch(tuple(next(iter(bench.log.inputs.values()))), {}))
    parts = halves(prepared)
    assert [len(part.messages) for part in parts] == [(8 - len(broken)) // 2] * 2
    assert [record for part in parts for record in part.batch.records] == list(prepared.batch.records)
