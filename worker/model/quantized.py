"""Linear layers in int8 on a CPU: each output's weights, and each token's activations, on a scale of their own.

Torch's own dynamic layers scale a whole batch at once, so that a text's numbers depend on its batch mates; here they
do not, and a matrix product's error is a third.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from worker.errors import SettingsError
from worker.model.engine import TransformersEngine
from worker.model.lane import Columns, Lane
from worker.model.probe import trial_rows

WEIGHT_STEPS = 127
ACTIVATION_STEPS = 63  # seven bits: CPUs without VNNI add two products in 16 bits, which eight would overflow
TINY = 1e-12  # a token or a row of weights of zeros only
# Share of the numbers' size that may be lost on random tokens. MiniLM loses .15; above this it is another model.
LOSS_LIMIT = 0.3


class QuantizedLinear(torch.nn.Module):
    """In place of a `Linear` that is given float32. Raises `AttributeError` or `RuntimeError` where torch has none."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self._packed = _packed(linear.weight.detach())

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        scale = states.abs().amax(dim=-1, keepdim=True).clamp_min_(TINY)
        linear = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
        output: torch.Tensor = linear(states / scale, 1 / ACTIVATION_STEPS, ACTIVATION_STEPS + 1, self._packed)
        output.mul_(scale)
        return output if self.bias is None else output.add_(self.bias)


def to_int8(engine: TransformersEngine) -> None:
    """Quantise what an engine computes, in place, before it is used. Raises `SettingsError`."""
    try:
        for lane in engine.lanes:
            _quantize(lane)
    except (AttributeError, RuntimeError) as error:
        raise SettingsError(
            f"model.dtype int8: torch has no such layers here ({type(error).__name__}); use float32"
        ) from None
    place = (engine.place[0], "int8")
    # Its embeddings are others, if only a little: clusters of the float32 encoder must not take them for their own.
    engine.offer = replace(engine.offer, place=place, encoder=f"{engine.encoder}-int8")


def _quantize(lane: Lane) -> None:
    """Raises `SettingsError` where nothing can be quantised, or where the numbers are no longer the model's."""
    network = lane.steps[0].network
    rows = trial_rows(network.vocabulary, lane.longest, 0)
    before = [lane([row]) for row in rows]
    count = sum(quantize_linear(step.network.model.base_model) for step in lane.steps)
    if not count:
        raise SettingsError("model.dtype int8: the model has no linear layers that it knows; use float32")
    lost = relative_loss([lane([row]) for row in rows], before)
    if not lost <= LOSS_LIMIT:
        raise SettingsError(f"model.dtype int8 makes another model of this one (it loses {lost:.0%}); use float32")


def relative_loss(got: Sequence[Columns], expected: Sequence[Columns]) -> float:
    """The largest of all columns: the length of the difference over that of what is expected."""
    pairs = [
        (torch.cat([columns[name] for columns in got]), torch.cat([columns[name] for columns in expected]))
        for name in expected[0]
    ]
    return max(float((ours - theirs).norm() / theirs.norm().clamp_min(TINY)) for ours, theirs in pairs)


def quantize_linear(model: torch.nn.Module) -> int:
    """How many; a pooler stays as it is, as it sees one token of a text only."""
    found = [
        (module, name, child)
        for path, module in model.named_modules()
        if "pooler" not in path
        for name, child in module.named_children()
        if isinstance(child, torch.nn.Linear)
    ]
    for module, name, child in found:
        setattr(module, name, QuantizedLinear(child))
    return len(found)


def _packed(weight: torch.Tensor) -> Any:
    """As torch's kernel wants it; it warns that its quantised tensors will go some day, which is for us to know."""
    scales = (weight.abs().amax(dim=1).clamp_min(TINY) / WEIGHT_STEPS).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zeros = torch.zeros(len(weight), dtype=torch.int64)
        quantized = torch.quantize_per_channel(weight.float(), scales, zeros, 0, torch.qint8)
        return torch.ops.quantized.linear_prepack(quantized, None)
