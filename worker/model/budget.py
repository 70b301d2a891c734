"""How many tokens one forward pass may have: computed on a CPU, measured on a card, lowered when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import structlog
import torch

from worker.model.lane import Lane
from worker.model.memory import Card, CudaCard, free_bytes, peak_bytes

log = structlog.get_logger(__name__)

# More gives no more throughput (`benchmarks.engine`): a pass falls out of the caches, or longer texts pad shorter ones.
CPU_TOKENS, CPU_TOKENS_PADDED = 2048, 1024
CARD_TOKENS = 65_536  # the search ends here: more gives no more throughput either
CPU_SHARE = 0.5  # of the free memory: batches, Kafka's buffers and the learner's process live beside it
CARD_SHARE = 0.8  # of a card's free memory: what is left is for fragmentation, and for others


class Budget:
    """Tokens of one forward pass. The infer thread only; it never grows again."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def lower(self, failed_tokens: int) -> None:
        """A pass of so many tokens did not fit in memory."""
        self.tokens = max(1, min(self.tokens, failed_tokens) // 2)
        log.warning("out_of_memory", tokens=failed_tokens, max_batch_tokens=self.tokens)


def choose_tokens(configured: int, lanes: Sequence[Lane], device: torch.device) -> int:
    """`configured`, or for 0 what the device's free memory allows; the longest text fits in any case."""
    longest = max(lane.longest for lane in lanes)
    if configured:
        return whole(configured, longest)
    if device.type == "cuda":
        return on_card(lanes, CudaCard(device), longest)
    return on_cpu(lanes, free_bytes(), longest)


def on_cpu(lanes: Sequence[Lane], free: int | None, longest: int) -> int:
    """The usual budget, or less where its peak is more than a share of the free memory."""
    usual = CPU_TOKENS if all(lane.packed for lane in lanes) else CPU_TOKENS_PADDED
    fitting = usual if free is None else int(free * CPU_SHARE) // peak_bytes(lanes, 1)
    tokens = max(longest, min(usual, fitting))
    report = log.info if tokens <= fitting else log.warning
    report("batch_budget", max_batch_tokens=tokens, peak_bytes=peak_bytes(lanes, tokens), free_bytes=free)
    return tokens


def on_card(lanes: Sequence[Lane], card: Card, longest: int) -> int:
    """What trial passes of the longest texts show to fit in a share of the free memory."""
    free = card.free_bytes()

    def fits(tokens: int) -> bool:
        peak = card.peak_bytes(lambda: [lane(_longest_texts(lane, tokens)) for lane in lanes])
        return peak is not None and peak <= free * CARD_SHARE

    tokens = search(fits, low=longest, high=max(longest, CARD_TOKENS))
    log.info("batch_budget", max_batch_tokens=tokens, free_bytes=free)
    return tokens


def search(attempt: Callable[[int], bool], *, low: int, high: int) -> int:
    """The most tokens that `attempt` says fit, doubling from `low` up to `high`; `low` even where it does not."""
    tokens = low
    while tokens * 2 <= high and attempt(tokens * 2):
        tokens *= 2
    return tokens


def is_out_of_memory(error: Exception) -> bool:
    """A card's allocator has a class of its own; the CPU's raises a plain `RuntimeError`."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator" in str(error)


def whole(tokens: int, longest: int) -> int:
    """A budget that holds the model's longest text, which otherwise would never fit."""
    if tokens >= longest:
        return tokens
    log.warning("batch_budget_raised", setting="model.max_batch_tokens", configured=tokens, used=longest)
    return longest


def _longest_texts(lane: Lane, tokens: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int32]]]:
    """So many tokens, at least one text; which ones does not matter to the memory."""
    return [np.zeros(lane.longest, np.int32)] * max(1, tokens // lane.longest)
