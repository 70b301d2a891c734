"""An explanation for eyes: the text with its words coloured, and the words that count most; terminal and HTML."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from worker.model.explain import Explanation, Word

WIDTH = 80
BAR = 24  # columns of the longest bar
FAINT = 0.05  # of the largest share: words below it keep the text's own colour
STRONG = 0.5
MOST_LABELS = 5  # in the line of scores
# For a label, and against it: told apart by those who see no red or green, too.
COLOURS = {True: ("black on #9ecae1", "black on #4292c6"), False: ("black on #fdd0a2", "black on #f16913")}
RGB = {True: "66, 146, 198", False: "241, 105, 19"}
STYLE = """body{font:16px/1.7 system-ui,sans-serif;color:#111;background:#fff}
body{max-width:46rem;margin:2rem auto;padding:0 1rem}
p.text{white-space:pre-wrap;overflow-wrap:anywhere}table{border-collapse:collapse}td{padding:0 1rem 0 0}
td.share{text-align:right;font-variant-numeric:tabular-nums}.warning{font-weight:bold}"""


def show(explanation: Explanation, top: int) -> None:
    """On stdout, in colour where that is a terminal; the table says the same without."""
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    for line in _head(explanation):
        console.print(Text(_printable(line)))
    console.print()
    console.print(_coloured(explanation))
    console.print()
    console.print(_table(explanation, top))
    for line in _foot(explanation):
        console.print(Text(line))


def as_page(explanation: Explanation) -> str:
    """One HTML file with the text in it; nothing is fetched from anywhere."""
    largest = _largest(explanation)
    rows = "".join(
        f'<tr><td class="share">{word.share:+.2f}</td><td>{escape(word.text)}</td></tr>\n'
        for word in strongest(explanation, len(explanation.words))
    )
    head = "".join(f"<p>{escape(line)}</p>\n" for line in _head(explanation))
    foot = "".join(f"<p{'' if explanation.holds else ' class=warning'}>{line}</p>\n" for line in _foot(explanation))
    return (
        f'<!doctype html>\n<html><head><meta charset="utf-8"><title>{escape(explanation.label)}</title>\n'
        f'<style>{STYLE}</style></head><body>\n{head}<p class="text" dir="auto">'
        f"{''.join(_spans(explanation, largest))}</p>\n{foot}<table>\n{rows}</table></body></html>\n"
    )


def strongest(explanation: Explanation, count: int) -> list[Word]:
    """The words that count most, for or against."""
    return sorted(explanation.words, key=lambda word: -abs(word.share))[:count]


def _head(explanation: Explanation) -> Iterator[str]:
    best = sorted(explanation.scores.items(), key=lambda item: -item[1])[:MOST_LABELS]
    scores = ", ".join(f"{label} {score:.3f}" for label, score in best)
    yield f"{explanation.label} by {explanation.model} ({explanation.revision}); scores: {scores}"
    whole, without = explanation.log_odds, explanation.without
    yield f"log-odds {whole:+.2f}: {without:+.2f} without any word, {whole - without:+.2f} of the words"


def _foot(explanation: Explanation) -> Iterator[str]:
    yield (
        f"convergence: the words' shares miss their sum by {explanation.delta:+.4f} ({explanation.error:.1%},"
        f" {explanation.steps} steps)"
    )
    if not explanation.holds:
        yield "warning: that is more than 5 %; take the shares as a hint, not as a measure"
    if explanation.truncated:
        yield "the text is longer than the model reads: what was cut off has no share"


def _coloured(explanation: Explanation) -> Text:
    text = Text(_printable(explanation.text))  # of equal length: the words' places hold
    largest = _largest(explanation)
    for word in explanation.words:
        if abs(word.share) >= FAINT * largest:
            text.stylize(COLOURS[word.share > 0][abs(word.share) >= STRONG * largest], word.start, word.end)
    return text


def _table(explanation: Explanation, top: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"for (+) or against (-) {_printable(explanation.label)}", justify="right", max_width=30)
    table.add_column("word", overflow="ellipsis", no_wrap=True, max_width=24)
    table.add_column("")
    largest = _largest(explanation)
    for word in strongest(explanation, top):
        bar = "█" * max(1, round(BAR * abs(word.share) / largest))
        colour = COLOURS[word.share > 0][1].rpartition(" ")[2]
        table.add_row(f"{word.share:+.2f}", Text(_printable(word.text)), Text(bar, style=colour))
    return table


def _spans(explanation: Explanation, largest: float) -> Iterator[str]:
    reached = 0
    for word in explanation.words:
        yield escape(explanation.text[reached : word.start])
        strength = abs(word.share) / largest
        style = f"background:rgba({RGB[word.share > 0]},{strength:.2f})"
        yield f'<span style="{style}" title="{word.share:+.2f}">{escape(word.text)}</span>'
        reached = word.end
    yield escape(explanation.text[reached:])


def _largest(explanation: Explanation) -> float:
    return max((abs(word.share) for word in explanation.words), default=0.0) or 1.0


def _printable(text: str) -> str:
    """Nothing in it that a terminal would obey."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)
