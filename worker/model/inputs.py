"""What a network is given: texts packed into one row, or padded to equal length; and how a text is read off again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from worker.model.attention import Layout
from worker.model.folder import Pooling
from worker.model.packing import Pack, pack

TokenIds = NDArray[np.int32]


class Input(Protocol):
    """Texts on their way through the networks of a lane."""

    def arguments(self) -> dict[str, Any]:
        """What transformers' `forward` takes."""

    def first(self, hidden: torch.Tensor) -> torch.Tensor | None:
        """The first token of each text, [n, 1, d], where a stock head would not find it by itself."""

    def pool(self, hidden: torch.Tensor, pooling: Pooling) -> torch.Tensor:
        """One row a text, float32 [n, d]."""


class PackedInput:
    """One row of all tokens. Rows of equal length must come one after the other."""

    def __init__(self, rows: Sequence[TokenIds], *, first_position: int, device: torch.device) -> None:
        self._pack: Pack = pack(rows, first_position)
        self._device = device
        self.layout = _layout(self._pack, device)

    def arguments(self) -> dict[str, Any]:
        ids, positions = (to_device(column, self._device) for column in (self._pack.ids, self._pack.positions))
        return {"input_ids": ids[None], "position_ids": positions[None], "layout": self.layout}

    def first(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden[0, self._bounds()[:-1], None]

    def pool(self, hidden: torch.Tensor, pooling: Pooling) -> torch.Tensor:
        if pooling == "cls":
            return hidden[0, self._bounds()[:-1]].float()
        if pooling == "last":
            return hidden[0, self._bounds()[1:] - 1].float()
        means = [
            hidden[0, group.start : group.stop].view(group.texts, group.length, -1).float().mean(dim=1)
            for group in self._pack.groups
        ]
        return torch.cat(means)

    def _bounds(self) -> torch.Tensor:
        return to_device(self._pack.bounds.astype(np.int64), self._device)


class PaddedInput:
    """[texts, longest] with a mask; padding on the right."""

    def __init__(self, rows: Sequence[TokenIds], *, pad: int, device: torch.device) -> None:
        shape = len(rows), max(len(row) for row in rows)
        ids, mask = np.full(shape, pad, np.int64), np.zeros(shape, np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        self._ids, self._mask = to_device(ids, device), to_device(mask, device)

    def arguments(self) -> dict[str, Any]:
        return {"input_ids": self._ids, "attention_mask": self._mask}

    def first(self, hidden: torch.Tensor) -> None:
        """A stock head finds it."""

    def pool(self, hidden: torch.Tensor, pooling: Pooling) -> torch.Tensor:
        if pooling == "cls":
            return hidden[:, 0].float()
        if pooling == "last":
            return hidden[torch.arange(len(hidden), device=hidden.device), self._mask.sum(dim=1) - 1].float()
        weights = self._mask.unsqueeze(-1).float()
        return (hidden.float() * weights).sum(dim=1) / weights.sum(dim=1)


def to_device(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """A copy on the device; from pinned memory and without waiting for it, where the device is a card."""
    tensor = torch.from_numpy(array)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def _layout(packed: Pack, device: torch.device) -> Layout:
    if device.type == "cpu":
        return Layout(packed.groups)
    return Layout(packed.groups, to_device(packed.bounds, device), max(group.length for group in packed.groups))
