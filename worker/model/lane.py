"""A lane: networks that read the same token ids in the same layout, and what is read off each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from worker.model.folder import Pooling
from worker.model.inputs import Input, PackedInput, PaddedInput, TokenIds
from worker.model.network import Network

Columns = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read off a network's pass: a classifier's logits under its name, the embedding under `EMBEDDING`.

    With a `head`, its logits of the pooled, L2-normalised embedding; `stock`: the logits of the model's own head.
    """

    name: str
    pooling: Pooling
    head: torch.nn.Linear | None = None
    stock: bool = False


EMBEDDING = ""  # no classifier may be called so


@dataclass(frozen=True, slots=True)
class Step:
    """A network of a lane and what is read off it."""

    network: Network
    readings: tuple[Reading, ...]


class Lane:
    """The infer thread only. `tokens` is the place of its tokenizer among the engine's; `longest` its longest text."""

    def __init__(
        self, *, steps: Sequence[Step], tokens: int, longest: int, pad: int, first_position: int, packed: bool = False
    ) -> None:
        self.steps = tuple(steps)
        self.tokens = tokens
        self.longest = longest
        self._pad = pad
        self._first_position = first_position
        self.packed = packed

    def use(self, *, packed: bool) -> None:
        """Choose between packing and padding."""
        for step in self.steps:
            step.network.use(packed=packed)
        self.packed = packed

    def __call__(self, rows: Sequence[TokenIds]) -> Columns:
        """One forward pass: float32 [n, width] by name, on the device. Rows of equal length lie together."""
        return self.read(self.input(rows))

    @torch.inference_mode()
    def read(self, given: Input) -> Columns:
        """As above, of texts that are laid out already."""
        return {name: column for step in self.steps for name, column in _read(step, given).items()}

    def input(self, rows: Sequence[TokenIds]) -> Input:
        device = self.steps[0].network.device
        if self.packed:
            return PackedInput(rows, first_position=self._first_position, device=device)
        return PaddedInput(rows, pad=self._pad, device=device)


def _read(step: Step, given: Input) -> Columns:
    hidden, logits = step.network(given)
    columns: Columns = {}
    pooled: dict[Pooling, torch.Tensor] = {}
    for reading in step.readings:
        if reading.stock:
            assert logits is not None  # the network was loaded with its head
            columns[reading.name] = logits.float()
            continue
        if reading.pooling not in pooled:
            pooled[reading.pooling] = torch.nn.functional.normalize(given.pool(hidden, reading.pooling))
        embedding = pooled[reading.pooling]
        columns[reading.name] = reading.head(embedding) if reading.head else embedding
    return columns
