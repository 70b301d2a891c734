"""Packed against stock: whether a lane may pack is found out at load, text by text, and never assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import structlog
import torch

from worker.errors import SettingsError
from worker.model.attention import Unpackable
from worker.model.inputs import PackedInput, TokenIds
from worker.model.lane import EMBEDDING, Columns, Lane, Step
from worker.model.network import LAYERS, Network

log = structlog.get_logger(__name__)

LENGTHS = (1, 2, 3, 5, 8, 17, 33, 64, 100, 129, 200, 257)  # and the longest; a window hides on the short ones
PAIRED = (3, 8, 33)  # two of one length are computed together, and mixed up most where each is a large part of it
LONGEST = 1024  # what is compared of any model: seconds at most on a CPU
# Longer texts cost as the square of their length. What one pass may: ten seconds of two cores, a second of a card.
AFFORDABLE_FLOPS = {"cpu": 1e12, "cuda": 1e14}
TOGETHER = 3  # the two longest and one that is shorter, then ever shorter ones
SEED = 20
TINY = 1e-12  # a head of zeros gives zeros


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a dtype's rounding gives in one order of summing or another.

    `turn` is 1 - cosine of two embeddings, `shift` the share of a classifier's largest logit.
    """

    turn: float
    shift: float


TOLERANCE = {
    torch.float32: Tolerance(1e-8, 1e-4),
    torch.float16: Tolerance(1e-4, 2e-2),
    torch.bfloat16: Tolerance(1e-3, 6e-2),
}


def trial_rows(vocabulary: int, longest: int, pad: int, alone: int = 0) -> list[TokenIds]:
    """Token ids of lengths 1 … longest, the same at each start; without padding, which some families place by.

    Lengths end at `LONGEST`; one more text has `alone` tokens, if those are more.
    """
    random = np.random.default_rng(SEED)
    bound = min(longest, LONGEST)
    single = {length for length in LENGTHS if length < bound} | {bound}
    lengths = sorted([*single, *single & {*PAIRED, bound}], reverse=True)
    allowed = np.array([i for i in range(vocabulary) if i != pad], np.int32)
    return [random.choice(allowed, length) for length in ([alone] if alone > bound else []) + lengths]


def compared_length(network: Network, longest: int) -> int:
    """How long the longest text is that packing is compared at; a family that is not packed needs no more than others.

    Above `LONGEST` it is halved until its pass is affordable.
    """
    if network.model.config.model_type not in LAYERS:
        return min(longest, LONGEST)
    length = longest
    while length > LONGEST and network.flops(length) > AFFORDABLE_FLOPS[network.device.type]:
        length = max(length // 2, LONGEST)
    if length < longest:
        log.warning("packing_compared_in_part", up_to_tokens=length, longest=longest)
    return length


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
    if not _close(worst, lane):
        raise SettingsError(f"a model differs from itself {worst} when texts are padded; choose another model")
    log.warning("not_packed", reason=reason)
    return reason


def _padded(lane: Lane, rows: Sequence[TokenIds]) -> Columns:
    """A few texts at a time: padded to the longest, all of them take more than a small container has."""
    alone = 1 if len(rows[0]) > len(rows[1]) else 0
    starts = range(alone, len(rows), TOGETHER)
    each = [lane(group) for group in (rows[:alone], *(rows[start : start + TOGETHER] for start in starts)) if group]
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
    return None if _close(worst, lane) else f"packed numbers differ from the stock model's {worst}"


class Difference(NamedTuple):
    """The largest of all texts: of embeddings as 1 - cosine, of logits as a share of the largest expected one."""

    turn: float
    shift: float

    def __str__(self) -> str:
        return f"by {self.turn:.2g} of a cosine, {self.shift:.2g} of a logit"


def difference(got: Columns, expected: Columns) -> Difference:
    """Infinite where there is anything that is no number."""
    turns = [_turn(got[name], column) for name, column in expected.items() if name == EMBEDDING]
    shifts = [_shift(got[name], column) for name, column in expected.items() if name != EMBEDDING]
    return Difference(max(turns, default=0.0), max(shifts, default=0.0))


def _turn(got: torch.Tensor, expected: torch.Tensor) -> float:
    cosines = torch.nn.functional.cosine_similarity(got.double(), expected.double())
    return _number(1.0 - cosines.min())


def _shift(got: torch.Tensor, expected: torch.Tensor) -> float:
    return _number((got - expected).abs().max() / expected.abs().max().clamp_min(TINY))


def _number(value: torch.Tensor) -> float:
    """NaN compares with nothing, and must not pass for small."""
    return float(value.nan_to_num(float("inf")))


def _close(worst: Difference, lane: Lane) -> bool:
    allowed = TOLERANCE[lane.steps[0].network.dtype]
    return worst.turn <= allowed.turn and worst.shift <= allowed.shift
