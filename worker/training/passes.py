"""What a text costs at run time: a forward pass of the base, timed on some of the texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from worker.model.assembly import engine_of
from worker.model.characters import character_matrix
from worker.model.folder import ModelFolder
from worker.model.recipe import EngineRecipe

TEXTS, TIMES = 64, 3


@dataclass(frozen=True, slots=True)
class Pass:
    """Seconds a text: of tokenising and a forward pass, in a full batch, and of counting its characters."""

    text_s: float
    characters_s: float


def measure_pass(base: ModelFolder, recipe: EngineRecipe, texts: Sequence[str]) -> Pass:
    """On texts from all over `texts`, so that they are about as long. Loads the base. Raises `SettingsError`."""
    engine = engine_of(base, recipe)
    sample = texts[:: max(1, len(texts) // TEXTS)][:TEXTS]
    engine.infer(engine.tokenize(sample))  # the first pass of a shape is slower
    return Pass(
        text_s=_timed(lambda: engine.infer(engine.tokenize(sample))) / len(sample),
        characters_s=_timed(lambda: character_matrix(sample)) / len(sample),
    )


def _timed(work: Callable[[], object]) -> float:
    """The median of a few runs."""
    taken = []
    for _ in range(TIMES):
        began_s = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began_s)
    return median(taken)
