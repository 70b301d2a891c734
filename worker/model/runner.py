"""Windows of texts through a lane: cut to the token budget, halved where memory ends, put back in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from worker.errors import Stop
from worker.model.batching import Rows, micro_batches, padding_share
from worker.model.budget import Budget, is_out_of_memory
from worker.model.inputs import TokenIds
from worker.model.lane import Columns, Lane

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Computed:
    """Float32 [windows, width] by name, in the order of the windows; undefined for those in `failed`."""

    columns: dict[str, NDArray[np.float32]]
    failed: dict[int, str]
    padding_share: float


def run(lane: Lane, windows: Sequence[TokenIds], budget: Budget) -> Computed:
    """All windows, of at least one text. Raises `Stop` when the device itself has failed."""
    lengths = np.array([len(window) for window in windows], np.int32)
    batches = micro_batches(lengths, budget.tokens, padded=not lane.packed)
    failed: dict[int, str] = {}
    try:
        done = [part for rows in batches for part in _compute(lane, rows, windows, budget, failed)]
        columns = _gather(done, len(windows))
    except torch.AcceleratorError as error:  # the device is unusable from here on: no text is to blame
        raise Stop(f"the model's device failed ({type(error).__name__}); start the worker again") from error
    return Computed(columns, failed, 0.0 if lane.packed else padding_share(batches, lengths))


def _compute(
    lane: Lane, rows: Rows, windows: Sequence[TokenIds], budget: Budget, failed: dict[int, str]
) -> list[tuple[Rows, Columns]]:
    """Compute rows; where that fails, in smaller parts, down to the window that is to blame."""
    chosen = [windows[row] for row in rows]
    fits = len(rows) == 1 or _tokens(lane, chosen) <= budget.tokens  # lowered, perhaps, since the batches were cut
    columns, problem = _attempt(lane, chosen, budget) if fits else (None, "")
    if columns is not None:
        return [(rows, columns)]
    torch.cuda.empty_cache()  # outside the handler, whose traceback keeps the failed attempt's memory
    if len(rows) == 1:
        failed[int(rows[0])] = f"forward pass: {problem}"
        return []
    return [part for half in np.array_split(rows, 2) for part in _compute(lane, half, windows, budget, failed)]


def _attempt(lane: Lane, windows: Sequence[TokenIds], budget: Budget) -> tuple[Columns | None, str]:
    """The columns, or the kind of error; never the error's own text, which may quote the message."""
    try:
        return lane(windows), ""
    except torch.AcceleratorError:
        raise
    except Exception as error:
        log.warning("forward_failed", texts=len(windows), error=type(error).__name__)
        if is_out_of_memory(error) and len(windows) > 1:  # a text that alone is too long says nothing of the others
            budget.lower(_tokens(lane, windows))
        return None, type(error).__name__


def _tokens(lane: Lane, windows: Sequence[TokenIds]) -> int:
    """That one pass over them computes, padding included."""
    return sum(map(len, windows)) if lane.packed else len(windows) * max(map(len, windows))


def _gather(done: Sequence[tuple[Rows, Columns]], count: int) -> dict[str, NDArray[np.float32]]:
    """One copy from the device a column."""
    names = done[0][1] if done else ()
    order = np.concatenate([rows for rows, _ in done]) if done else np.zeros(0, np.intp)
    gathered = {}
    for name in names:
        together = torch.cat([columns[name] for _, columns in done]).cpu().numpy()
        gathered[name] = np.zeros((count, together.shape[1]), np.float32)
        gathered[name][order] = together
    return gathered
