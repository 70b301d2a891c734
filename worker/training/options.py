"""How a sequence classifier is trained: what people may set, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FineTuning:
    """Options of `top:N` and `full`.

    `warmup` is a share of all steps. `patience`: so many looks at the validation part in a row without a better
    macro-F1 end the training, whose best state counts; a look comes each epoch, or each 1,000 steps of long ones.
    """

    learning_rate: float = 5e-5
    epochs: int = 4
    batch_size: int = 16
    weight_decay: float = 0.01
    warmup: float = 0.1
    patience: int = 2
