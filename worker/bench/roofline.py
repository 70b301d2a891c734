"""What a model's forward pass costs by counting, and what the machine gives at most: the same matrix products, bare."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

GEMM_TOKENS = 1024  # rows of the products: as many as keep every core busy and still fit the caches


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a transformer encoder: `inner` is the width of its feed-forward part."""

    hidden: int
    inner: int
    layers: int

    @classmethod
    def of(cls, config: Any) -> Shape:
        """Of a transformers config; DistilBERT has names of its own for some of it."""
        inner = getattr(config, "intermediate_size", None) or config.hidden_dim
        return cls(int(config.hidden_size), int(inner), int(config.num_hidden_layers))


def product_flops(shape: Shape, tokens: int) -> int:
    """Of the matrix products with weights: query, key, value, output, and the two of the feed-forward part."""
    return 2 * tokens * shape.layers * (4 * shape.hidden**2 + 2 * shape.hidden * shape.inner)


def pass_flops(shape: Shape, lengths: Sequence[int]) -> int:
    """Of one pass over texts of so many tokens, nothing padded: the products, and each text's attention to itself.

    Embeddings, normalisation, softmax and activation are left out: they are no products, and a limit has none of them.
    """
    attention = 4 * shape.hidden * shape.layers * sum(int(length) ** 2 for length in lengths)
    return product_flops(shape, int(sum(lengths))) + attention


class Roofline:
    """The products of one model's shapes, again and again: FLOP/s that no pass of it can exceed on this machine."""

    def __init__(self, shape: Shape, *, device: str = "cpu", dtype: str = "float32", tokens: int = GEMM_TOKENS) -> None:
        import torch

        place: dict[str, Any] = {"device": device, "dtype": getattr(torch, dtype)}
        hidden, inner = shape.hidden, shape.inner
        self._device = torch.device(device)
        self._flops = product_flops(shape, tokens)
        self._layers = shape.layers
        self._rows, self._wide = torch.randn(tokens, hidden, **place), torch.randn(tokens, inner, **place)
        self._square = [torch.randn(hidden, hidden, **place) for _ in range(4)]
        self._up, self._down = torch.randn(hidden, inner, **place), torch.randn(inner, hidden, **place)
        self._out = torch.empty_like(self._rows)

    def flops_per_s(self, seconds: float) -> float:
        """Measured for about so long."""
        self._products()
        count, took_s = repeated(self._products, seconds, self._settle)
        return count * self._flops / took_s

    def _products(self) -> None:
        import torch

        for _ in range(self._layers):
            for weights in self._square:
                torch.mm(self._rows, weights, out=self._out)
            torch.mm(self._rows, self._up, out=self._wide)
            torch.mm(self._wide, self._down, out=self._out)

    def _settle(self) -> None:
        """A card computes behind our back; wait for it."""
        settle(self._device)


def settle(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def repeated(work: Callable[[], object], seconds: float, settle: Callable[[], None] | None = None) -> tuple[int, float]:
    """How often `work` ran within about so many seconds, at least once, and how long that took."""
    count, began = 0, time.perf_counter()
    while not count or time.perf_counter() - began < seconds:
        work()
        if settle is not None:
            settle()
        count += 1
    return count, time.perf_counter() - began
