"""What a person wants to see at the end, within 80 columns."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worker.demo.config import REVIEW_BELOW
from worker.demo.stream import Span
from worker.demo.tally import Cluster, Tagged, Tally

WIDTH = 80
EXAMPLES = 4
EXAMPLE_CHARACTERS = 44


@dataclass(frozen=True, slots=True)
class Run:
    """What happened: a firehose, then messages one at a time. `topics`: output topic → what it is for."""

    tally: Tally
    firehose: Span
    calm: Span
    topics: Mapping[str, str]
    embedded: bool

    @property
    def sent(self) -> int:
        return len(self.firehose.sent) + len(self.calm.sent)

    @property
    def lost(self) -> int:
        return self.tally.lost(self.firehose.sent | self.calm.sent)


def show(run: Run, console: Console) -> None:
    results = list(run.tally.results.values())
    console.rule("what came out", style="dim")
    console.print(_totals(run, results))
    for table in (_labels(results), _routes(run), _clusters(results), _dead_letters(run.tally), _examples(results)):
        console.print()
        console.print(table)
    if run.embedded:
        console.print()
        console.print(
            "The embedded broker cannot show a delivery guarantee: it loses what it holds\n"
            "when killed. `make chaos` shows it, on a real Kafka.",
            style="dim",
        )


def _totals(run: Run, results: Sequence[Tagged]) -> Table:
    sure = [tagged for tagged in results if tagged.score >= REVIEW_BELOW]
    rate = len(run.firehose.sent) / max(run.firehose.seconds, 1e-3)
    broken = len(run.tally.reasons)
    table = Table.grid(padding=(0, 2))
    rows = (
        ("records in", f"{run.sent:,}: {len(results):,} tagged, {broken:,} dead letters"),
        ("lost", f"{run.lost:,}"),
        ("duplicated", f"{run.tally.duplicated:,}   (both by the source coordinates in each output)"),
        ("accuracy", f"{_accuracy(results)} on texts held back from training, {_accuracy(sure)} of the sure ones"),
        ("throughput", f"{rate:,.0f} records/s   ({len(run.firehose.sent):,} in {run.firehose.seconds:.1f} s)"),
        ("end to end", f"{_latency(run.tally, run.calm)}   (one at a time)"),
        ("", f"{_latency(run.tally, run.firehose)}   (all sent at once: waiting in line)"),
    )
    for name, value in rows:
        table.add_row(name, value)
    return table


def _labels(results: Sequence[Tagged]) -> Table:
    table = _table("label", "truth", "tagged", "precision", "recall")
    truth, labels = Counter(t.truth for t in results), Counter(t.label for t in results)
    right = Counter(t.label for t in results if t.label == t.truth)
    for label in sorted(truth | labels):
        table.add_row(
            label,
            f"{truth[label]:,}",
            f"{labels[label]:,}",
            _percent(right[label], labels[label]),
            _percent(right[label], truth[label]),
        )
    return table


def _routes(run: Run) -> Table:
    table = _table("route", "records", "what", text_columns=("what",))
    counts = run.tally.counts_by_topic()
    for topic, what in run.topics.items():
        table.add_row(topic, f"{counts[topic]:,}", what)
    return table


def _clusters(results: Sequence[Tagged]) -> Table:
    table = _table("cluster", "most typical words", "texts", "mostly", text_columns=("most typical words",))
    members, names = _members(results)
    for identity, kinds in sorted(members.items(), key=lambda item: -item[1].total()):
        kind, count = kinds.most_common(1)[0]
        name = escape(names.get(identity) or "(no name yet)")
        table.add_row(str(identity), name, f"{kinds.total():,}", f"{kind} {_percent(count, kinds.total())}")
    early = sum(tagged.cluster.version == 0 for tagged in results)
    far = sum(tagged.cluster.id is None for tagged in results) - early
    table.add_row("-", "far from every cluster", f"{far:,}", "", style="dim")
    table.add_row("-", "came before the first clusters", f"{early:,}", "", style="dim")
    return table


def _members(results: Iterable[Tagged]) -> tuple[dict[int, Counter[str]], dict[int, str | None]]:
    """Of each cluster the kinds of its texts, and its newest name."""
    members: dict[int, Counter[str]] = defaultdict(Counter)
    newest: dict[int, Cluster] = {}
    for tagged in results:
        cluster = tagged.cluster
        if cluster.id is not None:
            members[cluster.id][tagged.truth] += 1
            newest[cluster.id] = max(newest.get(cluster.id, cluster), cluster, key=lambda c: c.version)
    return members, {identity: cluster.name for identity, cluster in newest.items()}


def _dead_letters(tally: Tally) -> Table:
    table = _table("dead letters", "records")
    for reason, count in sorted(Counter(tally.reasons.values()).items()):
        table.add_row(reason, f"{count:,}")
    return table


def _examples(results: Sequence[Tagged]) -> Table:
    """The first short text of each label."""
    table = _table("for example", "label", "score", text_columns=("label",))
    shown: set[str] = set()
    for tagged in results:
        if tagged.label not in shown and len(tagged.text) <= EXAMPLE_CHARACTERS and len(shown) < EXAMPLES:
            shown.add(tagged.label)
            table.add_row(escape(tagged.text), tagged.label, f"{tagged.score:.2f}")
    return table


def _table(first: str, *others: str, text_columns: Sequence[str] = ()) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 3, 0, 0), pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="left" if name in text_columns else "right", no_wrap=name not in text_columns)
    return table


def _accuracy(results: Sequence[Tagged]) -> str:
    return _percent(sum(tagged.label == tagged.truth for tagged in results), len(results))


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _latency(tally: Tally, span: Span) -> str:
    """Median and 99th percentile, from the producer's timestamp to the arrival of the output."""
    ordered = sorted(tally.latencies_s[c] for c in span.sent if c in tally.latencies_s)
    return f"p50 {_quantile(ordered, 0.5)}, p99 {_quantile(ordered, 0.99)}"


def _quantile(ordered: Sequence[float], share: float) -> str:
    if not ordered:
        return "-"
    seconds = ordered[min(len(ordered) - 1, int(share * len(ordered)))]
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
