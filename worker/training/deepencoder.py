"""Deep clustering through an encoder's upper layers: an encoder of its own for the clusters, and their centres."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from worker.errors import SettingsError
from worker.model.folder import ModelFolder
from worker.model.inputs import PaddedInput
from worker.model.loading import load_model, load_tokens, quiet
from worker.model.threads import cpu_threads
from worker.model.tokens import Ids, Tokens
from worker.training.classifier import layers_of, refuse_layers, train_only_top
from worker.training.deep import Deepening, Embed, Numbers, draw_together, rows_by
from worker.training.directory import new_directory, refuse_target
from worker.training.finetune import copy_companions
from worker.training.progress import Progress

# Gentler than a map's: the layers know more than the clusters do.
OPTIONS = Deepening(epochs=3, learning_rate=2e-5, batch_size=32, threads=0)


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """`rows` [n, d] are the new unit embeddings of the texts, not a number where one cannot be tokenised, and `centres`
    [k, d] the unit centres of their clusters. Beside its base the encoder computes `top` of `layers` layers again.
    """

    rows: Numbers
    centres: Numbers
    top: int
    layers: int


def tune_encoder(
    base: ModelFolder,
    texts: Sequence[str],
    centres: Numbers,
    *,
    top: int,
    out: Path,
    accept: Callable[[Tuned], bool],
    progress: Progress,
    options: Deepening = OPTIONS,
) -> Tuned:
    """Train the `top` uppermost layers of `base` from `centres`, which a k-means of its embeddings has found, and write
    the encoder to `out`, whole or not at all, if `accept` says so. Longer texts than it reads are cut off.

    The layers below stay those of the base, bit by bit, so that at run time both compute them once. Raises
    `SettingsError`.
    """
    refuse_target(out)
    refuse_layers(base, top)
    base = base.without_head()
    torch.set_num_threads(options.threads or cpu_threads())
    model = load_model(base, torch.device("cpu"), torch.float32)
    train_only_top(model, top)
    recipe, pad = load_tokens(base, model.config.pad_token_id)
    read = _readable(Tokens(recipe), texts)
    embed = _embedding(model, base, [ids for _, ids in read], pad)
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    learned, _ = draw_together(embed, learning, len(read), centres, options=options, progress=progress)
    rows = np.full((len(texts), centres.shape[1]), np.nan, np.float32)
    rows[[place for place, _ in read]] = rows_by(embed, len(read), options.batch_size).numpy()
    tuned = Tuned(rows, learned, top, layers_of(base))
    if accept(tuned):
        with new_directory(out) as built:
            with quiet():
                model.save_pretrained(built)
            copy_companions(base, built)
    return tuned


def _readable(tokens: Tokens, texts: Sequence[str]) -> list[tuple[int, Ids]]:
    """Places and token ids, the shortest first: a pass over all of them in order needs little padding."""
    found = [(place, windows[0]) for place, windows in enumerate(tokens(texts).ids) if windows is not None]
    if not found:
        raise SettingsError("no text can be tokenised; check the column with the text")
    return sorted(found, key=lambda one: len(one[1]))


def _embedding(model: Any, base: ModelFolder, ids: Sequence[Ids], pad: int) -> Embed:
    """As the engine embeds; without dropout, so that a target is of what it is compared with."""

    def embed(places: torch.Tensor) -> torch.Tensor:
        given = PaddedInput([ids[place] for place in places.tolist()], pad=pad, device=torch.device("cpu"))
        hidden = model(**given.arguments())[0]
        return normalize(given.pool(hidden, base.pooling), dim=1)

    return embed
