"""A model is changed while the stream runs: between batches, or not at all."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from queue import Queue
from typing import TypeVar

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tests.doubles import FakeEngine
from tests.memory import MemoryDelivery
from tests.workbench import Bench, assert_once_and_in_order, filled
from worker.cutting import cut_to_tokens
from worker.errors import SettingsError, Stop, TooSlow
from worker.metrics import Metrics, ReloadOutcome
from worker.reload import Reloadable
from worker.types import Batch, Engine, Message, Origin, Predictions, Prepared, Record, Tokenized

T = TypeVar("T")
WAIT_S = 20.0  # for what comes at once, or never


class Strict(FakeEngine):
    """Notes every breach of the Protocol: foreign ids, a verb after `close`, and `close` while a verb is at work."""

    def __init__(self, revision: str, **more: object) -> None:
        super().__init__(revision=revision, **more)  # type: ignore[arg-type]
        self.revision = revision
        self.breaches: list[str] = []
        self.ended = threading.Event()
        self._at_work = 0

    def tokenize(self, texts: Sequence[str]) -> Tokenized:
        tokenized = self._work(lambda: super(Strict, self).tokenize(texts))
        return replace(tokenized, ids=[words and [self.revision, *words] for words in tokenized.ids])

    def infer(self, tokenized: Tokenized) -> Predictions:
        if any(words and words[0] != self.revision for words in tokenized.ids):
            self.breaches.append("foreign ids")
        own = replace(tokenized, ids=[words and words[1:] for words in tokenized.ids])
        return self._work(lambda: super(Strict, self).infer(own))

    def close(self) -> None:
        super().close()
        if self._at_work:
            self.breaches.append("closed while at work")
        self.ended.set()

    def _work(self, verb: Callable[[], T]) -> T:
        if self.closed:
            self.breaches.append("used after close")
        self._at_work += 1
        try:
            return verb()
        finally:
            self._at_work -= 1


class Told(Metrics):
    """Says when a reload has been counted."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry())
        self.told: Queue[ReloadOutcome] = Queue()

    def count_reload(self, outcome: ReloadOutcome) -> None:
        super().count_reload(outcome)
        self.told.put(outcome)


class Stand:
    """A reloadable engine `0`; the next ones come from `make`, by default `1`, `2` and so on."""

    def __init__(
        self,
        make: Callable[[], Engine] | None = None,
        accept: Callable[[Engine, Engine], str | None] = lambda old, new: None,
        fails_after: bool = False,
        first: Strict | None = None,
    ) -> None:
        self._fails_after = fails_after
        self.engines = [first or Strict("0")]
        self.changes: Queue[Engine] = Queue()
        self.metrics = Told()
        self.engine = Reloadable(
            engine=self.engines[0],
            make=make or self.next,
            accept=accept,
            changed=self._changed,
            metrics=self.metrics,
        )

    def _changed(self, new: Engine) -> None:
        self.changes.put(new)
        if self._fails_after:
            raise RuntimeError("told to fail")

    def next(self) -> Strict:
        self.engines.append(Strict(str(len(self.engines))))
        return self.engines[-1]

    def reload(self) -> None:
        """Returns once another engine is in use."""
        self.engine.reload()
        assert self.metrics.told.get(timeout=WAIT_S) == "done"
        self.changes.get(timeout=WAIT_S)

    def revision(self, texts: Sequence[str] = ("some words",)) -> str:
        """Which engine computes a batch."""
        return _revision(self.engine.infer(self.engine.tokenize(texts)))


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    stand.engine.close()
    assert [engine.breaches for engine in stand.engines if engine.breaches] == []
    assert [engine.closed for engine in stand.engines] == [1] * len(stand.engines)


def _revision(predictions: Predictions) -> str:
    return predictions.classifiers[0].revision


def test_a_reload_puts_a_new_engine_in_place_of_the_old_one(stand: Stand) -> None:
    """From a signal handler on: what is asked is answered by the new engine, and the old one is closed."""
    before = signal.signal(signal.SIGHUP, lambda *_: stand.engine.reload())
    try:
        assert stand.revision() == "0"
        signal.raise_signal(signal.SIGHUP)
        assert stand.changes.get(timeout=WAIT_S) is stand.engines[1]
    finally:
        signal.signal(signal.SIGHUP, before)
    assert stand.engines[0].ended.wait(WAIT_S)
    assert stand.revision() == stand.engine.classifiers[0].revision == "1"
    assert (stand.engine.encoder, stand.engine.parts) == ("fake", stand.engines[1].parts)
    assert stand.metrics.registry.get_sample_value("tagstream_reloads_total", {"outcome": "done"}) == 1


def test_a_batch_is_computed_by_the_engine_that_tokenised_it(stand: Stand) -> None:
    """Also in parts: the old engine computes them all after the change, and is closed behind the last."""
    stand.reload()
    messages = tuple(Message(str(n), Origin("in", 0, n, None), "four words a text") for n in range(4))
    batch = Batch(tuple(Record("in", 0, n, None, None, b"") for n in range(4)), {})
    parts = cut_to_tokens(Prepared(batch, messages, stand.engine.tokenize([m.text for m in messages])), 8)
    stand.reload()
    new = stand.engine.tokenize(["a text"])
    assert len(parts) == 2
    for part in parts:
        assert not stand.engines[1].closed
        assert _revision(stand.engine.infer(part.tokenized)) == "1"
    assert stand.engines[1].ended.wait(WAIT_S)
    assert _revision(stand.engine.infer(new)) == "2"


def test_a_batch_that_is_dropped_does_not_keep_the_old_engine(stand: Stand) -> None:
    """A rebalance makes batches stale between the stages: the first one of the new engine ends the wait for them."""
    stand.engine.tokenize(["never computed"])
    stand.reload()
    assert not stand.engines[0].closed
    assert stand.revision() == "1"
    assert stand.engines[0].ended.wait(WAIT_S)


class Impatient(Strict):
    def infer(self, tokenized: Tokenized) -> Predictions:
        if len(tokenized.ids) > 1:
            raise TooSlow("told to be slow")
        return super().infer(tokenized)


def test_parts_of_what_was_too_slow_are_for_the_engine_that_tokenised_them() -> None:
    """A reload in between does not close it before the last of them is computed."""
    stand = Stand(first=Impatient("0"))
    tokenized = stand.engine.tokenize(["one", "two"])
    stand.reload()
    with pytest.raises(TooSlow):
        stand.engine.infer(tokenized)
    assert [_revision(stand.engine.infer(replace(tokenized, ids=[ids]))) for ids in tokenized.ids] == ["0", "0"]
    assert stand.engines[0].ended.wait(WAIT_S)
    stand.engine.close()


def test_a_batch_without_texts_says_nothing_of_those_behind_it(stand: Stand) -> None:
    """Ahead of the old engine's last batch it changes nothing, and after that it is answered as well."""
    empty, full = stand.engine.tokenize([]), stand.engine.tokenize(["a text"])
    stand.reload()
    assert len(stand.engine.infer(empty).embeddings) == 0
    assert _revision(stand.engine.infer(full)) == "0"
    assert stand.engines[0].ended.wait(WAIT_S)
    assert len(stand.engine.infer(empty).embeddings) == 0


class Slow(Strict):
    """Tokenises, or closes, only when it may."""

    def __init__(self, verb: str) -> None:
        super().__init__("0")
        self.began, self.go = threading.Event(), threading.Event()
        self._verb = verb

    def tokenize(self, texts: Sequence[str]) -> Tokenized:
        return self._work(lambda: (self._wait("tokenize"), super(Slow, self).tokenize(texts))[1])

    def close(self) -> None:
        self._wait("close")
        super().close()

    def _wait(self, verb: str) -> None:
        if verb == self._verb:
            self.began.set()
            if not self.go.wait(WAIT_S):
                self.breaches.append("waited for")


def test_an_engine_that_still_tokenises_is_not_closed() -> None:
    """The change may come in the middle of a batch: it is that engine's to the end."""
    slow = Slow("tokenize")
    stand = Stand(first=slow)
    tokenized: Queue[Tokenized] = Queue()
    threading.Thread(target=lambda: tokenized.put(stand.engine.tokenize(["a text"]))).start()
    assert slow.began.wait(WAIT_S)
    stand.reload()
    assert not slow.closed
    slow.go.set()
    assert _revision(stand.engine.infer(tokenized.get(timeout=WAIT_S))) == "0"
    assert slow.ended.wait(WAIT_S)
    stand.engine.close()
    assert slow.breaches == []


def test_the_stream_does_not_wait_for_an_engine_that_ends() -> None:
    """A model's process may take seconds to go: batches go on through the new one."""
    slow = Slow("close")
    stand = Stand(first=slow)
    stand.reload()
    assert slow.began.wait(WAIT_S)
    assert stand.revision() == "1"
    slow.go.set()
    stand.engine.close()
    assert (slow.closed, slow.breaches) == (1, [])


class Unable(Strict):
    """Cannot compute anything, and says so by raising."""

    def infer(self, tokenized: Tokenized) -> Predictions:
        raise RuntimeError("not on this device")


class Illiterate(Strict):
    """Cannot tokenise anything."""

    def tokenize(self, texts: Sequence[str]) -> Tokenized:
        none = np.zeros(len(texts), np.int32)
        return Tokenized([None] * len(texts), none, none, none > 0, dict.fromkeys(range(len(texts)), "no vocabulary"))


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        pytest.param(SettingsError("no config.json: copy it"), "no config.json: copy it", id="settings-error"),
        pytest.param(Stop("the process ended"), "the process ended", id="stop"),
        pytest.param(RuntimeError("quoted text"), "RuntimeError", id="any-error"),
        pytest.param(SystemExit(3), "SystemExit", id="exit"),
        pytest.param(Strict("1", fail_on="warm"), "the model cannot compute a text: told to fail", id="cannot-compute"),
        pytest.param(Illiterate("1"), "the model cannot compute a text: no vocabulary", id="cannot-tokenise"),
        pytest.param(Unable("1"), "RuntimeError", id="raises"),
        pytest.param(Strict("1", labels=("a", "c")), "label 'b' is gone", id="not-accepted"),
    ],
)
def test_what_is_wrong_with_a_new_engine_leaves_the_old_one_in_place(made: BaseException | Strict, reason: str) -> None:
    """One log line says why and what to do, the new engine is closed, and the stream goes on as if nothing was."""

    def make() -> Engine:
        if isinstance(made, BaseException):
            raise made
        return made

    def accept(old: Engine, new: Engine) -> str | None:
        gone = sorted({*old.classifiers[0].labels} - {*new.classifiers[0].labels})
        return f"label {gone[0]!r} is gone" if gone else None

    stand = Stand(make, accept)
    with capture_logs() as logs:
        stand.engine.reload()
        assert stand.metrics.told.get(timeout=WAIT_S) == "refused"
        assert stand.revision() == stand.engine.classifiers[0].revision == "0"
        stand.engine.close()
    (line,) = logs
    assert (line["event"], line["reason"], line["log_level"]) == ("reload refused", reason, "warning")
    assert "reload again" in line["action"]
    assert stand.changes.empty()
    assert stand.engines[0].closed == 1
    assert isinstance(made, BaseException) or made.closed == 1


def test_a_reload_asked_for_during_another_comes_after_it() -> None:
    """It is not lost, as the first may have missed the last change; those that wait are one."""
    making, go = Queue[int](), threading.Semaphore(0)

    def make() -> Engine:
        making.put(len(stand.engines))
        assert go.acquire(timeout=WAIT_S)
        return stand.next()

    stand = Stand(make)
    stand.engine.reload()
    assert making.get(timeout=WAIT_S) == 1
    for _ in range(3):
        stand.engine.reload()  # and none of them waits for the one in the making
    assert stand.revision() == "0"
    go.release()
    assert making.get(timeout=WAIT_S) == 2
    assert stand.engines[0].ended.wait(WAIT_S)  # its memory is the next one's
    go.release()
    assert [stand.changes.get(timeout=WAIT_S) for _ in range(2)] == stand.engines[1:]
    stand.engine.close()
    assert making.empty()
    assert [engine.closed for engine in stand.engines] == [1, 1, 1]


def test_whoever_is_told_of_a_change_cannot_end_it() -> None:
    """An error in what follows a change is logged; the next reload finds everything in order."""
    stand = Stand(fails_after=True)
    stand.reload()
    stand.reload()
    assert stand.revision() == "2"
    stand.engine.close()


def test_an_engine_in_the_making_does_not_outlive_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end does not wait for it for ever; once made, it is closed and never used."""
    monkeypatch.setattr("worker.reload.CLOSE_TIMEOUT_S", 0)
    making, go = threading.Event(), threading.Event()

    def make() -> Engine:
        making.set()
        assert go.wait(WAIT_S)
        return stand.next()

    stand = Stand(make)
    stand.engine.reload()
    assert making.wait(WAIT_S)
    stand.engine.reload()
    stand.engine.close()
    assert stand.engines[0].closed == 1
    go.set()
    stand.engine._threads[0].join(WAIT_S)
    assert [engine.closed for engine in stand.engines] == [1, 1]
    assert stand.changes.empty()


def test_the_death_of_the_running_engine_ends_the_worker() -> None:
    """What it raises reaches the loop as without reloads."""
    stand = Stand()
    stand.engines[0].infer = Unable("0").infer  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="not on this device"):
        Bench(filled(5), engine=stand.engine).run()
    stand.engine.close()


def test_reloads_under_load_lose_and_mix_nothing(stand: Stand) -> None:
    """Three changes in a stream with failing deliveries: each record once, in order, by one engine after the other."""
    log = filled(200, partitions=2)
    delivery = MemoryDelivery(
        log,
        faults={7: "lost", 13: "lost", 19: "unanswered"},
        before=lambda n: stand.reload() if n in (6, 12, 18) else None,
    )
    bench = Bench(log, delivery=delivery, engine=stand.engine, slots=3)
    assert_once_and_in_order(bench.run())
    seen = set()
    for topic in ("out", "a-topic"):
        results = [json.loads(output.value or b"") for output in log.outputs[topic]]
        for partition in (0, 1):
            of_partition = [r for r in results if r["source"]["partition"] == partition]
            revisions = [r["classifications"][0]["revision"] for r in of_partition]
            assert revisions == sorted(revisions)
            seen.update(revisions)
    assert seen == {"0", "1", "2", "3"}
    assert all(engine.ended.wait(WAIT_S) for engine in stand.engines[:-1])
