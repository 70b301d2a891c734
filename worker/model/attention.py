"""Attention over a pack, in which each text sees only itself; transformers calls it in place of its own.

A text alone takes the plain path, SDPA. Several on a CPU: a call of it for each group of equal length; on CUDA one of
variable-length attention (https://docs.pytorch.org/docs/stable/nn.attention.varlen.html).
Registered as https://huggingface.co/docs/transformers/attention_interface describes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from worker.model.packing import Group

PACKED = "tagstream_packed"


class Unpackable(Exception):
    """A layer of the model wants attention that a pack cannot give it."""


@dataclass(slots=True)
class Layout:
    """What attention has to know of a pack. `calls` counts the layers that have used it.

    `bounds` int32 [n + 1] on the device, and `longest`, are for variable-length attention; None where there is none.
    """

    groups: Sequence[Group]
    bounds: torch.Tensor | None = None
    longest: int = 0
    calls: int = field(default=0)


def register() -> None:
    """Make the name `PACKED` known to transformers; calling it again changes nothing."""
    AttentionInterface.register(PACKED, packed_attention)
    AttentionMaskInterface.register(PACKED, _no_mask)


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    layout: Layout,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """[1, heads, tokens, d] each → [1, tokens, heads, d]. Raises `Unpackable` for causal or windowed attention."""
    if getattr(module, "is_causal", False) or sliding_window is not None or attention_mask is not None:
        raise Unpackable(type(module).__name__)
    layout.calls += 1
    if len(layout.groups) == 1 and layout.groups[0].texts == 1:
        return scaled_dot_product_attention(query, key, value, scale=scaling).transpose(1, 2), None
    if layout.bounds is not None:
        return _variable_length(query, key, value, layout, scaling), None
    rows = [tensor.transpose(1, 2)[0] for tensor in (query, key, value)]
    return torch.cat([_equal_lengths(rows, group, scaling) for group in layout.groups]).unsqueeze(0), None


def _equal_lengths(rows: Sequence[torch.Tensor], group: Group, scaling: float | None) -> torch.Tensor:
    """Attention within each text of a group; [tokens, heads, d] → [texts * length, heads, d]."""
    shape = (group.texts, group.length, *rows[0].shape[1:])
    query, key, value = (row[group.start : group.stop].view(shape).transpose(1, 2) for row in rows)
    return scaled_dot_product_attention(query, key, value, scale=scaling).transpose(1, 2).flatten(0, 1)


def _variable_length(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, scaling: float | None
) -> torch.Tensor:
    rows, bounds, longest = [tensor[0].transpose(0, 1) for tensor in (query, key, value)], layout.bounds, layout.longest
    assert bounds is not None
    seen = varlen_attn(rows[0], rows[1], rows[2], bounds, bounds, longest, longest, scale=scaling)
    assert isinstance(seen, torch.Tensor)  # a tuple only where more was asked for
    return seen.unsqueeze(0)


def _no_mask(*_: Any, **__: Any) -> None:
    """A pack needs none: who sees whom is in its layout."""
