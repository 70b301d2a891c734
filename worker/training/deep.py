"""Deep clustering: embeddings and centres drawn together by KL(p‖q), as DEC has it (Xie, Girshick, Farhadi 2016).

q is a Student-t soft assignment, p is q sharpened, each cluster weighing alike. What learns besides the centres is a
linear map behind embeddings that stay as they are, or an encoder's upper layers (`deepencoder`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from worker.errors import SettingsError
from worker.model.threads import cpu_threads
from worker.training.progress import Progress

Numbers = NDArray[np.float32]
Embed = Callable[[torch.Tensor], torch.Tensor]  # places of texts to their unit rows

SETTLED = 0.001  # share of texts that change their cluster from one target to the next: it is done, as in the paper
# On the unit sphere all distances are of one size: with less, every text belongs to all clusters alike, and they
# collapse; banking77 and a mixture of corpora gain nothing by more.
SHARPNESS = 16.0


@dataclass(frozen=True, slots=True)
class Deepening:
    """`epochs` is the most, each with a new target. `threads` 0 is the CPU quota: a map's steps are so small that
    threads mostly wait for each other. Equal seeds give equal results on one machine with as many threads.
    """

    epochs: int = 10
    learning_rate: float = 1e-4
    batch_size: int = 256
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Deep:
    """`map` float32 [d, d], of numbers that float16 holds: unit rows of x @ map belong to the nearest of the unit
    `centres` float32 [k, d]. `epochs` is how many it took.
    """

    map: Numbers
    centres: Numbers
    epochs: int


def fit_map(rows: Numbers, centres: Numbers, *, options: Deepening = Deepening(), progress: Progress) -> Deep:
    """From unit `rows` [n, d] and the unit `centres` of a k-means of them. Raises `SettingsError` if it diverges."""
    torch.set_num_threads(options.threads or cpu_threads())
    given = torch.tensor(rows)
    moves = torch.zeros(rows.shape[1], rows.shape[1], requires_grad=True)
    learned, epochs = draw_together(
        lambda places: normalize(given[places] + given[places] @ moves, dim=1),
        [moves],
        len(rows),
        centres,
        options=options,
        progress=progress,
    )
    whole = np.eye(rows.shape[1], dtype=np.float32) + moves.detach().numpy()
    return Deep(whole.astype(np.float16).astype(np.float32), learned, epochs)


def draw_together(
    embed: Embed,
    parameters: Iterable[torch.Tensor],
    count: int,
    centres: Numbers,
    *,
    options: Deepening,
    progress: Progress,
) -> tuple[Numbers, int]:
    """Train `parameters`, by which `embed` makes the rows of `count` texts, and the centres, which are returned with
    the number of epochs. Raises `SettingsError` if it diverges.
    """
    draw = torch.Generator().manual_seed(options.seed)
    learned = torch.tensor(centres, requires_grad=True)
    optimizer = torch.optim.Adam([*parameters, learned], lr=options.learning_rate)
    rows, epoch = rows_by(embed, count, options.batch_size), 0
    scale = SHARPNESS / _spread(rows, learned.detach())
    nearest = torch.full((count,), -1)
    with progress.task("drawing clusters together", options.epochs) as advance:
        for epoch in range(1, options.epochs + 1):
            q = soft_assignment(rows, normalize(learned.detach(), dim=1), scale)
            changed, nearest = float((q.argmax(dim=1) != nearest).float().mean()), q.argmax(dim=1)
            if changed < SETTLED:
                return _unit(learned), epoch - 1
            target, loss = target_of(q), torch.zeros(())
            for places in _cut(torch.randperm(count, generator=draw), options.batch_size):
                q = soft_assignment(embed(places), normalize(learned, dim=1), scale)
                loss = divergence(target[places], q)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            rows = rows_by(embed, count, options.batch_size)
            if not torch.isfinite(rows).all():
                raise SettingsError("the training has diverged, its embeddings are no numbers; choose k-means")
            advance(1, f"KL {float(loss.detach()):.3f}, {changed:.1%} changed")
    return _unit(learned), epoch


@torch.no_grad()
def rows_by(embed: Embed, count: int, size: int) -> torch.Tensor:
    """All rows, as they are now."""
    return torch.cat([embed(places) for places in _cut(torch.arange(count), size)])


def soft_assignment(rows: torch.Tensor, centres: torch.Tensor, scale: float) -> torch.Tensor:
    """q [n, k] of unit rows: Student-t of one degree of freedom over `scale` squared distances; rows sum to 1."""
    kernel = 1 / (1 + scale * _squared(rows, centres))
    return kernel / kernel.sum(dim=1, keepdim=True)


def target_of(q: torch.Tensor) -> torch.Tensor:
    """p [n, k]: q squared, over the weight of each cluster; rows sum to 1."""
    sharp = q**2 / q.sum(dim=0)
    return sharp / sharp.sum(dim=1, keepdim=True)


def divergence(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KL(p‖q), the mean over the rows."""
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(dim=1).mean()


def _cut(places: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    return (places[start : start + size] for start in range(0, len(places), size))


def _squared(rows: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    return (2 - 2 * rows @ centres.T).clamp_min(0)


def _spread(rows: torch.Tensor, centres: torch.Tensor) -> float:
    """The mean squared distance to the own centre."""
    return max(float(_squared(rows, centres).min(dim=1).values.mean()), 1e-6)


def _unit(centres: torch.Tensor) -> Numbers:
    found: Numbers = normalize(centres.detach(), dim=1).numpy()
    return found
