"""Learns clusters from samples: a warm-up, mini-batches, and a look back now and then. The same samples in the same
order give the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from worker.clusters.deepmap import mapped
from worker.clusters.lineage import Event
from worker.clusters.naming import Naming, first_names, name_words
from worker.clusters.orders import Order, carried_out, kept_names
from worker.clusters.recipe import Recipe
from worker.clusters.refresh import Judgement, refresh
from worker.clusters.samples import Samples, no_samples, usable
from worker.clusters.spherical import nearest, normalise, start, update
from worker.clusters.table import Table
from worker.clusters.warmup import polished
from worker.clusters.window import Window
from worker.clusters.wordcounts import WordCounts, Words

CHUNK = 256  # samples of one step, cut by their position in the stream: how calls are cut changes nothing
REFRESH_STEPS = 4  # from one refresh to the next
SIMILARITIES = 2000  # that the threshold is taken from
WORDS_CHANGED, FIRST_NAME = "as its words have changed", "as its words say"
SLACK = 1e-5  # a product of another shape differs in its last bits; a copy of a known text must not fall below


class Learner:
    """Clusters learned from samples, published as a new table version per step.

    Until `warmup` samples have come (at least `k`), the table is empty. Rows that are zero or not finite are left out.
    Ids count from 1 and are never given twice. With `table` it goes on from there, at the sample behind its last one.
    Holds no thread and no file; not safe to share between threads.
    """

    def __init__(self, recipe: Recipe, table: Table | None = None) -> None:
        self._recipe = recipe
        self._table = table or Table(recipe.table)
        self._waiting = no_samples()
        self._similarities = np.zeros(0, dtype=np.float32)
        self._words = WordCounts([self._table.words.get(one, Words()) for one in self._table.ids])
        self._naming = Naming()
        self._window = Window(size=recipe.window, span_ms=recipe.window_ms)
        self._judged = Judgement()
        self._events: list[Event] = []

    @property
    def table(self) -> Table:
        """The newest version."""
        return self._table

    def take_events(self) -> list[Event]:
        """What has happened since the last call."""
        events, self._events = self._events, []
        return events

    def recall(self, samples: Samples) -> None:
        """Remember samples that the table has learned already: they teach nothing, but the next refresh sees them."""
        samples = usable(samples)
        if not self._table.version or not len(samples):
            return
        rows = mapped(normalise(samples.embeddings), self._table.map)
        random = np.random.default_rng((self._recipe.seed % 2**64, self._table.version))
        self._window.add(rows, np.minimum(samples.times_ms, self._table.at_ms), random)
        threshold = self._table.threshold
        labels = nearest(rows, self._table.centres)
        self._words.recall(labels, samples.words)
        self._observe(rows, labels)
        self._table = replace(self._table, threshold=threshold)  # a version has one

    def learn(self, samples: Samples) -> None:
        """Learn as many whole steps as have come. Samples before the table's position are passed over."""
        new = usable(samples)
        _, new = new.cut(int(np.searchsorted(new.positions, self._table.position)))
        self._waiting = self._waiting.joined(new)
        while len(self._waiting) >= (size := self._step_size()):
            samples, self._waiting = self._waiting.cut(size)
            self._step(samples)

    def obey(self, order: Order, position: int) -> bool:
        """Carry out what came at that position, in a version of its own; what waits before it is learned first.

        False where it cannot be done: before the first table, and for clusters that are not there. Then nothing is.
        """
        if position < self._table.position or not order.fits(self._table):
            return False
        if len(self._waiting):
            samples, self._waiting = self._waiting, no_samples()
            self._step(samples)
            if not order.fits(self._table):  # that step has ended it
                return False
        draft = carried_out(order, self._table, self._recipe.count_cap)
        self._table = replace(draft.done(), position=position + 1)
        self._words.rearrange(draft.origins)
        self._events += draft.events
        self._name(first_names)
        self._publish()
        return True

    def _step_size(self) -> int:
        return CHUNK if self._table.version else max(self._recipe.warmup, self._recipe.k)

    def _step(self, samples: Samples) -> None:
        rows, old = mapped(normalise(samples.embeddings), self._table.map), self._table
        # By the middle one: a single wrong clock does not move the time.
        now_ms = max(old.at_ms, int(np.median(samples.times_ms)))
        random = np.random.default_rng((self._recipe.seed % 2**64, old.version))
        self._window.add(rows, np.minimum(samples.times_ms, now_ms), random)
        self._table = replace(old, at_ms=now_ms, position=int(samples.positions[-1]) + 1)
        if old.version:
            self._update(rows, samples.words)
            if (old.version + 1) % REFRESH_STEPS == 0:
                self._refresh(random)
        else:
            self._warm_up(rows, samples.words, random)
        self._publish()

    def _warm_up(self, rows: NDArray[np.float32], words: Sequence[Sequence[str]], random: np.random.Generator) -> None:
        centres, counts = start(rows, self._recipe.k, self._recipe.seed)
        ids = tuple(range(1, len(centres) + 1))
        begun = replace(
            self._table,
            ids=ids,
            centres=centres,
            anchors=centres,
            counts=np.minimum(counts, self._recipe.count_cap),
            seen=counts,
            last_ms=np.full(len(ids), self._table.at_ms),
            next_id=len(ids) + 1,
        )
        self._table = polished(begun, rows, self._recipe, random)
        self._words = WordCounts([Words()] * len(self._table.ids))
        labels = nearest(rows, self._table.centres)
        self._words.add(labels, words)
        self._observe(rows, labels)
        now_ms = self._table.at_ms
        self._events += [
            Event("born", (), (one,), now_ms, count, "found in the warm-up")
            for one, count in zip(self._table.ids, self._table.seen.tolist(), strict=True)
        ]
        self._name(first_names)

    def _update(self, rows: NDArray[np.float32], words: Sequence[Sequence[str]]) -> None:
        old = self._table
        labels = nearest(rows, old.centres)
        self._words.add(labels, words)
        self._observe(rows, labels)  # before these rows have moved the centres
        centres, counts = update(rows, old.centres, old.counts, self._recipe.count_cap)
        came = np.bincount(labels, minlength=len(old.ids))
        self._table = replace(
            self._table,
            centres=centres,
            counts=counts,
            seen=old.seen + came,
            last_ms=np.where(came > 0, old.at_ms, old.last_ms),
        )

    def _refresh(self, random: np.random.Generator) -> None:
        draft, self._judged = refresh(self._table, self._window.rows, self._recipe, self._judged, random)
        self._table = draft.done()
        self._words.rearrange(draft.origins)
        self._events += draft.events
        self._name(self._naming.review)

    def _name(self, give: Callable[[Mapping[int, Words], Mapping[int, str]], dict[int, str]]) -> None:
        """Names for the table as it is now, and events for those that change."""
        table, kept = self._table, kept_names(self._table)
        words = dict(zip(table.ids, self._words.typical(), strict=True)) if self._recipe.names else {}
        names = give({one: own for one, own in words.items() if one not in kept}, table.names)
        begun = {one for event in self._events for one in {*event.children} - {*event.parents}}
        self._events += [
            Event("renamed", (one,), (one,), table.at_ms, count, WORDS_CHANGED if one in table.names else FIRST_NAME)
            for one, count in zip(table.ids, table.counts.tolist(), strict=True)
            if one in names and one not in begun and names[one] != table.names.get(one)
        ]
        names |= {one: name for one, name in kept.items() if one in table.ids}
        self._words.kept = frozenset(word for name in names.values() for word in name_words(name))
        self._table = replace(table, names=names, words=words)

    def _observe(self, rows: NDArray[np.float32], labels: NDArray[np.intp]) -> None:
        """Note the rows' similarities; the threshold is what all but the given share of texts reach."""
        similarities = np.einsum("ij,ij->i", rows, self._table.centres[labels])
        self._similarities = np.concatenate((self._similarities, similarities))[-SIMILARITIES:]
        threshold = float(np.quantile(self._similarities, self._recipe.unassigned_quantile)) - SLACK
        self._table = replace(self._table, threshold=threshold)

    def _publish(self) -> None:
        self._table = replace(self._table, version=self._table.version + 1)
