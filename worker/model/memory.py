"""How much memory a forward pass may take, and how much it takes: computed on a CPU, measured on a card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from worker.model.cgroup import CGROUP_ROOT, OWN_CGROUP, folders, read
from worker.model.lane import Lane
from worker.model.network import LAYERS, Network

MEMINFO = Path("/proc/meminfo")
FLOAT = 4  # bytes
PLACES = 64  # bytes of a token's id, position and mask, copies included
# Of families that are not packed: their activations are written out in steps, and attention of their own holds
# matrices of tokens x tokens. Measured (`test_memory`): at most 2.2 times and 7 matrices.
UNPACKED_STEPS = 3
MATRICES = 8


def free_bytes(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP, meminfo: Path = MEMINFO) -> int | None:
    """What this process may still take: of the machine, or less by a cgroup's limit; None where nothing says it.

    A file cache counts as free, as the kernel gives it up first. The paths are for tests.
    """
    left = [_left(folder) for folder in folders("memory", root, own)]
    known = [each for each in (_available(meminfo), *left) if each is not None]
    return max(0, min(known)) if known else None


def peak_bytes(lanes: Sequence[Lane], tokens: int) -> int:
    """Bound of what a pass of so many tokens, padding included, takes on a CPU beside the weights; linear in `tokens`.

    Of one layer at a time: its input, query, key, value, the attention's output and what it is joined with, and twice
    the widest matrix, before and behind the activation. SDPA holds no matrix of tokens x tokens, but a mask where
    texts are padded. Each network keeps its last states, and those that another one goes on from.
    """
    kept = sum(2 * step.network.width * FLOAT for lane in lanes for step in lane.steps)
    return tokens * (PLACES + kept + max(_layer_bytes(step.network, lane) for lane in lanes for step in lane.steps))


class Card(Protocol):
    """The memory of a card. The thread that loads the engine."""

    def free_bytes(self) -> int: ...

    def peak_bytes(self, work: Callable[[], object]) -> int | None:
        """What `work` takes beside what is held already; None where it runs out of memory."""


class CudaCard:
    """`Card` by torch's own counters."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def free_bytes(self) -> int:
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info(self._device)[0])

    def peak_bytes(self, work: Callable[[], object]) -> int | None:
        torch.cuda.reset_peak_memory_stats(self._device)
        held = torch.cuda.memory_allocated(self._device)
        try:
            work()
            torch.cuda.synchronize(self._device)
            return int(torch.cuda.max_memory_allocated(self._device)) - held
        except torch.OutOfMemoryError:
            return None
        finally:
            torch.cuda.empty_cache()


def _layer_bytes(network: Network, lane: Lane) -> int:
    """Of one token in one layer."""
    states = (4 * network.width + 2 * widest(network.model)) * FLOAT
    mask = 0 if lane.packed else lane.longest * (1 + FLOAT)  # as it is kept, and as SDPA wants it
    if network.model.config.model_type in LAYERS:
        return states + mask
    heads = int(network.model.config.num_attention_heads)
    matrices = MATRICES * heads * lane.longest * FLOAT if network.model.config._attn_implementation == "eager" else 0
    return UNPACKED_STEPS * states + mask + matrices


def widest(model: Any) -> int:
    """The most numbers that any matrix, besides tables of embeddings, makes of one token, or takes."""
    modules = (module for module in model.modules() if not isinstance(module, torch.nn.Embedding))
    weights = (weight for module in modules for weight in module.parameters(recurse=False))
    return max((max(weight.shape) for weight in weights if weight.dim() == 2), default=int(model.config.hidden_size))


def _available(meminfo: Path) -> int | None:
    for line in (read(meminfo) or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _left(folder: Path) -> int | None:
    """Of a control group's limit; None where it has none. Version 1 writes a huge number for that."""
    limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
    used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
    if limit is None or used is None:
        return None
    return limit - used + _file_cache(folder)


def _file_cache(folder: Path) -> int:
    lines = (line.split() for line in (read(folder / "memory.stat") or "").splitlines())
    cached = {line[0]: int(line[1]) for line in lines if len(line) == 2}
    return cached.get("total_inactive_file", cached.get("inactive_file", 0))


def _number(path: Path) -> int | None:
    try:
        return int(read(path) or "")
    except ValueError:  # "max", or no such file
        return None
