"""The learner's own process. Imports little at the top: the rest is for the child alone."""

from __future__ import annotations

import os

from worker.child import Answer
from worker.frames import Frame

NICENESS = 5  # the forward pass goes first
UNCHANGED = Frame({})


def learning(recipe: Frame) -> Answer:
    """Learns from samples, with words for each; answers with the new table, or `UNCHANGED`."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from worker.clusters.learner import Learner
    from worker.clusters.recipe import Recipe

    os.nice(NICENESS)
    threadpool_limits(limits=1)  # the cores belong to the forward pass
    learner = Learner(Recipe(**recipe.header))

    def answer(samples: Frame) -> Frame:
        before = learner.table.version
        (embeddings,) = samples.arrays
        learner.learn(embeddings, samples.header["words"])
        return learner.table.to_frame() if learner.table.version != before else UNCHANGED

    return answer
