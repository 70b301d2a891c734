"""The model's own process. Imports little at the top: the rest is for the child alone."""

from __future__ import annotations

from collections.abc import MutableMapping

from worker.child import Answer
from worker.frames import Frame

# Turns of the loop in which torch's threads wait for each other on a CPU. libgomp's default holds a core for
# milliseconds, which a busy process beside it pays, and so do we (`python -m benchmarks.crowded`).
SPINS = "1000"


def engine(recipe: Frame) -> Answer:
    """Loads what the recipe says; the first answer is the offer, and each further one the predictions for tokens.

    With the offer come the weights for characters, in its order: the worker has the texts, the child their tokens.
    """
    import gc
    import os

    from worker import logs

    logs.configure(recipe.header["log_level"], recipe.header["log_format"])
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # both are read when they are imported
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    _rest_soon(os.environ)

    from worker.model.assembly import load_engine
    from worker.model.recipe import EngineRecipe
    from worker.model.wire import predictions_frame, tokens_of

    loaded = load_engine(EngineRecipe.from_json(recipe.header["engine"].encode()))
    gc.collect()
    gc.freeze()  # what is loaded stays: no collection needs to look at torch's objects again

    def answer(request: Frame) -> Frame:
        if "log_level" in request.header:
            logs.set_level(request.header["log_level"])
        if request.header.get("wanted") == "offer":
            return Frame({"offer": loaded.offer}, tuple(head.weights for head in loaded.characters.values()))
        return predictions_frame(loaded.infer(tokens_of(request)))

    return answer


def _rest_soon(environment: MutableMapping[str, str]) -> None:
    """Read by libgomp when torch is imported. What a user has set stays."""
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPINS)
