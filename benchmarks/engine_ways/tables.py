"""Findings as tables and targets (issue 5, "Measured")."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.engine_ways.comparisons import COMPARED, Findings
from benchmarks.engine_ways.questions import Figure
from benchmarks.engine_ways.ways import BATCHES, OUR_PROCESS, OURS
from benchmarks.engine_ways.ways import SENTENCE_TRANSFORMERS as PEER
from worker.bench.targets import Target, at_least, at_most, columns

Cell = str | int | float | None
OVER_BATCHES, OVER_PEER = 14, 3
SHARES = {1024: 0.75, 32: 0.65}  # of the machine's limit, by batch size
# "Never slower than the padded path", less what two runs of the same differ by.
NEVER_SLOWER = 0.97
HIDDEN = 1.05
OVER_PADDED_ON_A_CARD = 2


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` have a cell for each of `header`; None where nothing was measured."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]

    def lines(self) -> list[str]:
        return [
            self.title,
            *(f"  {line}" for line in columns([self.header, *([_shown(c) for c in r] for r in self.rows)])),
        ]

    def as_objects(self) -> list[dict[str, Any]]:
        return [dict(zip(self.header, row, strict=True)) for row in self.rows]


def tables(found: Findings) -> list[Table]:
    return [_limit(found), _ways(found), _sizes(found), _lengths(found), _budgets(found), _beside(found)]


def targets(found: Findings, device: str) -> list[Target]:
    """Ratios are medians of the rounds' ratios."""
    slowest = min((_over_padded(found, size) for size in _by_size(found)), default=None)
    never_slower = at_least("packed / padded, the worst of all batch sizes", slowest, NEVER_SLOWER)
    hidden = at_most("a pass with tokenising beside it / alone", _median(found.overlap, _slowdown), HIDDEN)
    if device != "cpu":
        best = _over_padded(found, max(SHARES))
        return [at_least("packed / padded, batches of 1024", best, OVER_PADDED_ON_A_CARD), never_slower, hidden]
    return [
        at_least(f"{OURS} / {BATCHES}", _over(found, OURS, BATCHES), OVER_BATCHES),
        at_least(f"{OURS} / {PEER}", _over(found, OURS, PEER), OVER_PEER),
        *(
            at_least(f"share of the limit, batches of {size}", _share(found.sizes.get((size, True), [])), bound)
            for size, bound in SHARES.items()
        ),
        never_slower,
        hidden,
    ]


def _limit(found: Findings) -> Table:
    ours = found.ways.get(OURS, [])
    limit = _median(ours, lambda figure: figure.limit_flops_per_s)
    per_token = _median(ours, lambda figure: figure.flops / figure.tokens)
    tokens = _median(ours, lambda figure: figure.tokens / figure.texts)
    rows: list[list[Cell]] = [
        ["the limit, GFLOP/s", None if limit is None else limit / 1e9],
        ["a token of the texts, MFLOP", None if per_token is None else per_token / 1e6],
        ["tokens of a text", tokens],
        ["the limit, tokens/s", None if limit is None or per_token is None else limit / per_token],
    ]
    return Table("the machine's limit: the model's matrix products alone", ("what", "median"), rows)


def _ways(found: Findings) -> Table:
    """Texts a second are of the average text of the set, also where a way has read only some."""
    ours = found.ways.get(OURS, [])
    a_text = _median(ours, lambda figure: figure.flops / figure.texts)
    rows: list[list[Cell]] = []
    for way in COMPARED:
        speed = _median(found.ways.get(way, []), lambda figure: figure.flops_per_s)
        rate = found.unavailable.get(way) if speed is None or a_text is None else speed / a_text
        rows.append([way, rate, _over(found, way, BATCHES), _share(found.ways.get(way, []))])
    return Table("ways, from texts to labels and embeddings", ("way", "texts/s", f"/ {BATCHES}", "of the limit"), rows)


def _sizes(found: Findings) -> Table:
    rows = [
        [
            size,
            _rate(found.sizes[size, True]),
            _milliseconds(found.sizes[size, True], size),
            _share(found.sizes[size, True]),
            _share(found.sizes[size, False]),
            _over_padded(found, size),
        ]
        for size in _by_size(found)
    ]
    header = ("texts of a batch", "texts/s", "ms a batch", "of the limit", "padded, of the limit", "packed / padded")
    return Table("the pass by batch size", header, rows)


def _lengths(found: Findings) -> Table:
    rows = [
        [length, _rate(figures), _median(figures, lambda figure: figure.tokens / figure.seconds), _share(figures)]
        for length, figures in found.lengths.items()
    ]
    return Table("the pass by length of the texts", ("tokens of a text", "texts/s", "tokens/s", "of the limit"), rows)


def _budgets(found: Findings) -> Table:
    rows = [
        [budget, _share(figures), _share(found.budgets.get((budget, False), []))]
        for (budget, packed), figures in found.budgets.items()
        if packed
    ]
    return Table("the pass by token budget", ("tokens of a pass", "of the limit", "padded, of the limit"), rows)


def _beside(found: Findings) -> Table:
    rows: list[list[Cell]] = [["tokenising the next batch", _median(found.overlap, _slowdown)]]
    named = {OURS: "busy stages, one process", OUR_PROCESS: "busy stages, the engine in a process of its own"}
    rows += [[name, _median(found.beside.get(way, []), _slowdown)] for way, name in named.items()]
    return Table("the pass with other work beside it", ("beside it", "time / alone"), rows)


def _by_size(found: Findings) -> Iterator[int]:
    return (size for size, packed in found.sizes if packed)


def _over_padded(found: Findings, size: int) -> float | None:
    return _ratio(found.sizes.get((size, True), []), found.sizes.get((size, False), []))


def _over(found: Findings, way: str, other: str) -> float | None:
    return _ratio(found.ways.get(way, []), found.ways.get(other, []))


def _ratio(over: Sequence[Figure], under: Sequence[Figure]) -> float | None:
    """Of speeds, round by round."""
    ratios = [o.flops_per_s / u.flops_per_s for o, u in zip(over, under, strict=False)]
    return statistics.median(ratios) if ratios else None


def _share(figures: Sequence[Figure]) -> float | None:
    return _median(figures, lambda figure: figure.share)


def _rate(figures: Sequence[Figure]) -> float | None:
    return _median(figures, lambda figure: figure.texts / figure.seconds)


def _milliseconds(figures: Sequence[Figure], size: int) -> float | None:
    return _median(figures, lambda figure: figure.seconds / figure.texts * size * 1000)


def _slowdown(figure: Figure) -> float:
    return figure.beside_s / figure.seconds


def _median(figures: Sequence[Figure], of: Callable[[Figure], float]) -> float | None:
    return statistics.median(map(of, figures)) if figures else None


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:,.4g}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell
