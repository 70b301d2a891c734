"""An engine that can be changed for another while it runs: made beside the running one, tried, put in its place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import SimpleQueue

import structlog

from worker.errors import SettingsError, TagstreamError, TooSlow
from worker.metrics import Metrics
from worker.types import Classifier, Engine, EnginePart, Predictions, Tokenized

log = structlog.get_logger()

CLOSE_TIMEOUT_S = 5.0
WARM_WORDS = (1, 8, 64, 512)  # short texts and one that fills the model
GOES_ON = "the running model goes on; put the model right and reload again"


@dataclass(slots=True)
class _Generation:
    """An engine with its calls at work and the texts that it has tokenised and not yet computed."""

    engine: Engine
    calls: int = 0
    texts: int = 0


class Reloadable:
    """The newest of a row of engines; satisfies `types.Engine`.

    `make` gives a new engine or raises; `accept(old, new)` says what speaks against it, if anything does; `changed` is
    told the new one once it is in use. All three are called in a thread of this class; whatever goes wrong before the
    change leaves the running engine in its place. A batch is computed by the engine that tokenised it.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        make: Callable[[], Engine],
        accept: Callable[[Engine, Engine], str | None],
        changed: Callable[[Engine], None],
        metrics: Metrics,
    ) -> None:
        self._running = engine
        self._make = make
        self._accept = accept
        self._changed = changed
        self._metrics = metrics
        self._lock = threading.Lock()
        self._newest = 0
        self._generations = {self._newest: _Generation(engine)}
        self._wanted = False
        self._closing = False
        self._orders: SimpleQueue[bool] = SimpleQueue()  # False ends it; its `put` may interrupt itself
        self._retired: SimpleQueue[Engine | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for work, name in ((self._follow_orders, "reload"), (self._close_retired, "retired-engines"))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> Engine:
        """The newest engine; it may be closed at any time."""
        return self._running

    @property
    def classifiers(self) -> tuple[Classifier, ...]:
        return self._running.classifiers

    @property
    def place(self) -> tuple[str, str]:
        return self._running.place

    @property
    def encoder(self) -> str:
        return self._running.encoder

    @property
    def parts(self) -> tuple[EnginePart, ...]:
        return self._running.parts

    def reload(self) -> None:
        """Have a new engine made, after the one now in the making. Never blocks; any thread, and signal handlers."""
        self._wanted = True
        self._orders.put(True)

    def tokenize(self, texts: Sequence[str]) -> Tokenized:
        with self._call(None, len(texts)) as (number, engine):
            return replace(engine.tokenize(texts), generation=number)

    def infer(self, tokenized: Tokenized) -> Predictions:
        texts = len(tokenized.ids)
        with self._call(tokenized.generation if texts else None, -texts) as (number, engine):
            if texts:
                self._forget_older(number)
            return engine.infer(tokenized)

    def close(self) -> None:
        """Ends all engines; one that is still in the making ends as soon as it is made."""
        with self._lock:
            self._closing = True
        self._orders.put(False)
        self._retired.put(None)
        for thread in self._threads:
            thread.join(CLOSE_TIMEOUT_S)
        with self._lock:
            generations, self._generations = self._generations, {}
        for generation in generations.values():
            generation.engine.close()

    # Who is in use.

    @contextmanager
    def _call(self, number: int | None, texts: int) -> Iterator[tuple[int, Engine]]:
        """The engine of this generation, or of the newest, for one call; `texts` more wait for it after that."""
        with self._lock:
            number = self._newest if number is None else number
            generation = self._generations[number]
            generation.calls += 1
        try:
            yield number, generation.engine
        except TooSlow:
            texts = 0  # they come again
            raise
        finally:
            with self._lock:
                generation.calls -= 1
                generation.texts += texts
                self._retire()

    def _forget_older(self, number: int) -> None:
        """Batches come in order: what older engines have tokenised and was not computed by now never will be."""
        with self._lock:
            for older in self._generations.keys() - range(number, self._newest + 1):
                self._generations[older].texts = 0
            self._retire()

    def _retire(self) -> None:
        """With the lock: have the engines closed that nothing can reach any more."""
        idle = [n for n, g in self._generations.items() if n != self._newest and not g.calls and g.texts <= 0]
        for number in idle:
            self._retired.put(self._generations.pop(number).engine)

    def _close_retired(self) -> None:
        """A thread of its own: the stream must not wait for it, and the next engine in the making needs the memory."""
        while (engine := self._retired.get()) is not None:
            engine.close()

    # The reloading thread.

    def _follow_orders(self) -> None:
        while self._orders.get():
            try:
                self._reload()
            except Exception:
                log.exception("after a reload")

    def _reload(self) -> None:
        if self._closing or not self._wanted:
            return  # an order ahead of this one has done its work
        self._wanted = False  # from here on a change may come too late for `make`: an order then counts anew
        try:
            new = self._made()
        except BaseException as error:  # a model's library may even want to exit
            self._refuse(error)
            return
        if not self._change_over(new):
            new.close()
            return
        self._metrics.count_reload("done")
        log.info("reloaded", models={c.name: f"{c.model}@{c.revision}" for c in new.classifiers})
        self._changed(new)

    def _made(self) -> Engine:
        """A new engine, warm and accepted. Raises whatever speaks against it, and has closed it then."""
        new = self._make()
        try:
            warm(new)
            if why_not := self._accept(self._running, new):
                raise SettingsError(why_not)
        except BaseException:
            new.close()
            raise
        return new

    def _refuse(self, error: BaseException) -> None:
        self._metrics.count_reload("refused")
        known = isinstance(error, TagstreamError)
        reason = str(error) if known else type(error).__name__
        log.warning("reload refused", reason=reason, action=GOES_ON, exc_info=None if known else error)

    def _change_over(self, new: Engine) -> bool:
        """What is tokenised from now on is the new engine's; not once `close` has begun."""
        with self._lock:
            if not self._closing:
                self._newest += 1
                self._generations[self._newest] = _Generation(new)
                self._running = new
                self._retire()
            return not self._closing


def warm(engine: Engine) -> None:
    """Let it compute made-up texts, one alone and several together. Raises `SettingsError` if it cannot."""
    texts = [" ".join(["warm"] * words) for words in WARM_WORDS]
    for batch in (texts[:1], texts):
        tokenized = engine.tokenize(batch)
        failed = {**tokenized.errors, **engine.infer(tokenized).failed}
        if failed:
            raise SettingsError(f"the model cannot compute a text: {next(iter(failed.values()))}")
