"""Packed against stock: whether a lane may pack is found out at load, text by text, and never assumed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import structlog
import torch

from worker.errors import SettingsError
from worker.model.attention import Unpackable
from worker.model.inputs import PackedInput, TokenIds
from worker.model.lane import Columns, Lane, Step
from worker.model.network import LAYERS

log = structlog.get_logger(__name__)

LENGTHS = (1, 2, 3, 5, 8, 17, 33, 64, 100, 129, 200, 257)  # and the longest; a window hides on the short ones
LONGEST = 1024  # of models without a position table: seconds at most on a CPU
TOGETHER = 3  # the two longest and one that is shorter, then ever shorter ones
SEED = 20
# Share of the largest value: what a dtype's rounding gives in one order of summing or another.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 6e-2}


def trial_rows(vocabulary: int, longest: int, pad: int) -> list[TokenIds]:
    """Token ids of lengths 1 … longest, the same at each start; without padding, which some families place by."""
    random = np.random.default_rng(SEED)
    bound = min(longest, LONGEST)
    lengths = sorted({length for length in LENGTHS if length < bound} | {bound}, reverse=True)
    allowed = np.array([i for i in range(vocabulary) if i != pad], np.int32)
    return [random.choice(allowed, length) for length in (lengths[0], *lengths)]  # two of one length make a group


@torch.inference_mode()
def stock_columns(step: Step, rows: Sequence[TokenIds], pad: int) -> Columns:
    """What the stock model gives, one text at a time, before anything is done to it. Raises `SettingsError`."""
    lane = Lane(steps=[step], tokens=0, longest=0, pad=pad, first_position=0)
    try:
        each = [lane([row]) for row in rows]
    except Exception as error:
        raise SettingsError(
            f"the model fails on a trial text ({type(error).__name__}); choose another model"
        ) from error
    return {name: torch.cat([columns[name] for columns in each]) for name in each[0]}


def settle(lane: Lane, rows: Sequence[TokenIds], expected: Columns) -> str | None:
    """Have the lane pack if that gives the expected numbers, else pad and say why. Raises `SettingsError`."""
    reason = why_not_packed(lane, rows, expected)
    if reason is None:
        return None
    if lane.packed:
        lane.use(packed=False)  # first of all: under the name of packed attention, padding would not be masked
    worst = difference(_padded(lane, rows), expected)
    if not worst <= _tolerance(lane):
        raise SettingsError(f"a model differs from itself by {worst:.2g} when texts are padded; choose another model")
    log.warning("not_packed", reason=reason)
    return reason


def _padded(lane: Lane, rows: Sequence[TokenIds]) -> Columns:
    """A few texts at a time: padded to the longest, all of them take more than a small container has."""
    each = [lane(rows[start : start + TOGETHER]) for start in range(0, len(rows), TOGETHER)]
    return {name: torch.cat([columns[name] for columns in each]) for name in each[0]}


def why_not_packed(lane: Lane, rows: Sequence[TokenIds], expected: Columns) -> str | None:
    """None where packing gives the stock model's numbers; leaves the lane packed then."""
    strange = [s.network.model.config.model_type for s in lane.steps if s.network.model.config.model_type not in LAYERS]
    if strange:
        return f"model type {strange[0]} is not among those that can be packed"
    network = lane.steps[0].network
    if network.device.type == "cuda" and network.dtype == torch.float32:
        return "variable-length attention needs float16 or bfloat16"
    lane.use(packed=True)
    try:
        return _compare(lane, rows, expected)
    except Unpackable as error:
        return f"{error} wants a window or a causal mask"
    except (RuntimeError, ImportError, AttributeError, LookupError, TypeError, ValueError) as error:
        return f"packed attention fails here ({type(error).__name__})"


def _compare(lane: Lane, rows: Sequence[TokenIds], expected: Columns) -> str | None:
    given = lane.input(rows)
    assert isinstance(given, PackedInput)
    got = lane.read(given)
    layers = sum(step.network.layers - step.network.depth for step in lane.steps)
    if given.layout.calls != layers:
        return f"packed attention was called by {given.layout.calls} of {layers} layers"
    worst = difference(got, expected)
    return None if worst <= _tolerance(lane) else f"packed numbers differ from the stock model's by {worst:.2g}"


def difference(got: Columns, expected: Columns) -> float:
    """The largest, as a share of the largest expected value of its column; NaN where there is one."""
    shares = [
        float((got[name] - column).abs().max()) / max(1.0, float(column.abs().max()))
        for name, column in expected.items()
    ]
    return max(shares, key=lambda share: float("inf") if share != share else share)


def _tolerance(lane: Lane) -> float:
    return TOLERANCE[lane.steps[0].network.dtype]
