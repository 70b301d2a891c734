"""Stock heads of decoders, which read a text's last token: where a model names no padding token, they must be shown it.

They look for the last token that is not padding, and refuse a batch without a padding token. One that is lent to them
could also be the text's own last token, so they are given the last token's states at all of its places.
"""

from __future__ import annotations

from typing import Any

import torch


def read_last_token(model: Any, pad: int) -> None:
    """Have a model without a padding token take batches that are padded on the right; stock numbers for each text."""
    model.config.pad_token_id = pad
    if not isinstance(head := getattr(model, "score", None), torch.nn.Linear):
        return  # no head, or one that does not read the last token
    ends = _Ends()
    model.register_forward_pre_hook(ends.note, with_kwargs=True)
    head.register_forward_pre_hook(ends.spread)


class _Ends:
    """Where the texts of a pass end."""

    def __init__(self) -> None:
        self._last = torch.empty(0, dtype=torch.int64)

    def note(self, module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        self._last = kwargs["attention_mask"].sum(dim=1) - 1

    def spread(self, module: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        """[texts, tokens, d] → the same, with the last token's states everywhere."""
        (states,) = args
        last = states[torch.arange(len(states), device=states.device), self._last]
        return (last[:, None].expand_as(states),)
