"""The engine in a process of its own: a forward pass there waits for no Python thread of the worker.

The worker tokenises, and needs none of the model's libraries.
"""

from __future__ import annotations

import signal

from pydantic import TypeAdapter

from worker.child import Child, Lost
from worker.errors import Stop
from worker.frames import Frame
from worker.logs import Format, Level
from worker.model.characters import CharacterLogits
from worker.model.child import engine
from worker.model.offer import Offer, Offered
from worker.model.recipe import EngineRecipe
from worker.model.wire import predictions_of, tokens_frame
from worker.types import Predictions, Tokenized

_ASK_FOR_OFFER = Frame({"wanted": "offer"})
_MEMORY = "most likely there was not enough memory: lower model.max_batch_tokens, or give it more"
_CRASH = "start the worker again; if it happens again, try another model.device or model.dtype"


class EngineProcess(Offered):
    """`types.Engine` on a child process that holds the model.

    The constructor blocks for seconds, until the model is loaded; raises `SettingsError` and `Stop`. Whatever ends the
    child later is a `Stop` of `infer`. `close` may come at any time, from any thread. Scores and embeddings are
    read-only.
    """

    def __init__(self, recipe: EngineRecipe, *, log_level: Level = "info", log_format: Format = "auto") -> None:
        header = {"engine": recipe.to_json().decode(), "log_level": log_level, "log_format": log_format}
        self._child = Child(engine, Frame(header), name="tagstream-model")
        try:
            reply = self._ask(_ASK_FOR_OFFER)
            offer = TypeAdapter(Offer).validate_python(reply.header["offer"])
            weights = zip(offer.characters, reply.arrays, strict=True)
            super().__init__(offer, {name: CharacterLogits(its) for name, its in weights})
        except BaseException:  # a Ctrl-C too
            self.close()
            raise

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def infer(self, tokenized: Tokenized) -> Predictions:
        """As the Protocol says; raises `Stop` when the child or its device has failed."""
        return predictions_of(self._ask(tokens_frame(tokenized)), self.offer.classifiers)

    def check(self) -> None:
        """Raises `Stop` where the child has died while idle. Never blocks; any thread."""
        try:
            self._child.check()
        except Lost as error:
            raise _stop(error) from None

    def close(self) -> None:
        self._child.close()

    def _ask(self, request: Frame) -> Frame:
        try:
            return self._child.ask(request)
        except Lost as error:
            raise _stop(error) from None


def _stop(error: Lost) -> Stop:
    memory = error.killed_by == signal.SIGKILL or "MemoryError" in error.detail  # torch.OutOfMemoryError too
    return Stop(f"the model's process is gone: {error.detail}; {_MEMORY if memory else _CRASH}")
