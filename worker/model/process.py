"""The engine in a process of its own: a forward pass there waits for no Python thread of the worker.

The worker tokenises, and needs none of the model's libraries.
"""

from __future__ import annotations

import signal
from dataclasses import replace

import structlog
from pydantic import TypeAdapter

from worker import logs
from worker.child import Child, Late, Lost
from worker.errors import Stop, TooSlow
from worker.frames import Frame
from worker.logs import Format, Level
from worker.model.characters import CharacterLogits
from worker.model.child import engine
from worker.model.offer import Offer, Offered
from worker.model.recipe import EngineRecipe
from worker.model.wire import predictions_of, tokens_frame
from worker.types import Predictions, Tokenized

log = structlog.get_logger(__name__)

_ASK_FOR_OFFER = Frame({"wanted": "offer"})
_MEMORY = "most likely there was not enough memory: lower model.max_batch_tokens, or give it more"
_CRASH = "start the worker again; if it happens again, try another model.device or model.dtype"


class EngineProcess(Offered):
    """`types.Engine` on a child process that holds the model.

    The constructor blocks for seconds, until the model is loaded; raises `SettingsError` and `Stop`. Whatever ends the
    child later is a `Stop` of `infer`. `close` may come at any time, from any thread. Scores and embeddings are
    read-only. `log_level` None is that of this process, and each later change of that goes with the next request.

    A pass that takes longer than `pass_limit_s` is ended with its child, as nothing else ends it, and another child
    takes its place: which text was to blame is for smaller passes to find out.
    """

    def __init__(
        self,
        recipe: EngineRecipe,
        *,
        log_level: Level | None = None,
        log_format: Format = "auto",
        pass_limit_s: float | None = None,
    ) -> None:
        self._pass_limit_s = pass_limit_s
        self._log_level = logs.level()
        self._header = {"engine": recipe.to_json().decode(), "log_level": log_level or self._log_level}
        self._header["log_format"] = log_format
        self._closed = False
        offer, characters = self._start()
        super().__init__(offer, characters)

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def infer(self, tokenized: Tokenized) -> Predictions:
        """As the Protocol says; raises `Stop` when the child or its device has failed."""
        try:
            return predictions_of(self._ask(tokens_frame(tokenized), self._pass_limit_s), self.offer.classifiers)
        except Late:
            return self._give_up(tokenized)

    def check(self) -> None:
        """Raises `Stop` where the child has died while idle. Never blocks; any thread."""
        try:
            self._child.check()
        except Lost as error:
            raise _stop(error) from None

    def close(self) -> None:
        self._closed = True
        self._child.close()

    def _start(self) -> tuple[Offer, dict[str, CharacterLogits]]:
        """A child, once it has loaded the model, and what it offers."""
        self._child = Child(engine, Frame(self._header), name="tagstream-model")
        try:
            reply = self._ask(_ASK_FOR_OFFER)
            offer = TypeAdapter(Offer).validate_python(reply.header["offer"])
            weights = zip(offer.characters, reply.arrays, strict=True)
            return offer, {name: CharacterLogits(its) for name, its in weights}
        except BaseException:  # a Ctrl-C too
            self.close()
            raise

    def _give_up(self, tokenized: Tokenized) -> Predictions:
        """Another child; then `TooSlow` for several texts, while one alone has failed."""
        texts = [i for i, ids in enumerate(tokenized.ids) if ids is not None]
        why = f"a pass took longer than {self._pass_limit_s:g} s"
        log.warning("forward_too_slow", texts=len(texts), limit_s=self._pass_limit_s)
        self._child.close()
        offer, _ = self._start()
        if self._closed:
            self.close()
        if (offer.classifiers, offer.encoder, offer.tokens) != (self.classifiers, self.encoder, self.offer.tokens):
            raise Stop(f"{why}, and the model's directory now holds another one: start the worker again")
        if len(texts) > 1:
            raise TooSlow(f"{why} over {len(texts)} texts")
        nothing = predictions_of(self._ask(tokens_frame(_without_ids(tokenized))), self.offer.classifiers)
        return replace(nothing, failed=dict.fromkeys(texts, f"forward pass: {why} over this text alone"))

    def _ask(self, request: Frame, timeout_s: float | None = None) -> Frame:
        level = logs.level()
        if level != self._log_level:
            self._log_level, request = level, Frame({**request.header, "log_level": level}, request.arrays)
            self._header["log_level"] = level
        try:
            return self._child.ask(request, timeout_s)
        except Lost as error:
            raise _stop(error) from None


def _without_ids(tokenized: Tokenized) -> Tokenized:
    """As many texts, none of which is computed."""
    return replace(tokenized, ids=[None] * len(tokenized.ids))


def _stop(error: Lost) -> Stop:
    memory = error.killed_by == signal.SIGKILL or "MemoryError" in error.detail  # torch.OutOfMemoryError too
    return Stop(f"the model's process is gone: {error.detail}; {_MEMORY if memory else _CRASH}")
