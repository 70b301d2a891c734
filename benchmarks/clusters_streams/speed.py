"""What it costs to give a text its cluster."""

from __future__ import annotations

import statistics
import time

import numpy as np

from worker.clusters.assign import assign
from worker.clusters.spherical import normalise
from worker.clusters.table import Table

SIZES = (8, 64, 512)
TEXTS, DIMENSIONS = 64, 384
ROUNDS = 200


def assign_us(k: int) -> float:
    """CPU time of one text in a batch: the median of the rounds."""
    random = np.random.default_rng(0)
    centres, rows = (normalise(random.normal(size=(count, DIMENSIONS)).astype(np.float32)) for count in (k, TEXTS))
    table = Table("default", version=1, ids=tuple(range(1, k + 1)), centres=centres, anchors=centres)
    spent = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        assign(table, rows)
        spent.append(time.thread_time() - began)
    return statistics.median(spent) / TEXTS * 1e6
