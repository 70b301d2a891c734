"""What holds for every story that a stream can tell: topics that come, go and return, wrong clocks, rubbish."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from worker.clusters.assign import assign
from worker.clusters.learner import CHUNK, REFRESH_STEPS, Learner
from worker.clusters.lineage import Event
from worker.clusters.recipe import DAY_MS, Recipe
from worker.clusters.samples import Samples
from worker.clusters.spherical import normalise
from worker.clusters.table import Table
from worker.clusters.window import SLOTS, Window

TOPICS, SIZE = 6, 24
SECOND_MS, HOUR_MS = 1000, 3_600_000
BEGIN_MS = 1_700_000_000_000
RECIPE = Recipe(k=3, warmup=CHUNK, window=1500, dormant_after_ms=2 * DAY_MS)

# Which topics come, for how many refreshes' worth of samples, and the silence after them in hours.
chapters = st.tuples(
    st.sets(st.integers(0, TOPICS - 1), min_size=1), st.integers(1, 2), st.sampled_from((0, 1, 30, 80))
)
stories = st.lists(chapters, min_size=2, max_size=3)
told = settings(max_examples=6, deadline=None)
ONE_BECOMES_TWO = [({0, 1, 2}, 1, 0), ({2, 3}, 4, 0)]  # two others are merged for it
LONG_SILENCE = [({0, 1, 2, 3}, 1, 80), ({0, 1, 4, 5}, 2, 80), ({2, 3}, 2, 0)]  # something is retired, and drifts


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As in the learner's process."""
    with threadpool_limits(limits=1):
        yield


@dataclass(frozen=True)
class Version:
    """A table, what happened on the way to it, and the samples that it was learned from."""

    table: Table
    events: list[Event]
    samples: Samples


def samples_of(story, seed: int = 0) -> Samples:
    """A text a second while a chapter lasts. Topics lie in pairs, so that two may become one and one two."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(TOPICS, SIZE))
    directions[1::2] = directions[::2] + 0.6 * directions[1::2]
    rows, times_ms, now_ms = [], [], BEGIN_MS
    for topics, refreshes, silence_h in story:
        truth = random.choice(sorted(topics), size=refreshes * REFRESH_STEPS * CHUNK)
        rows.append(directions[truth] + random.normal(size=(len(truth), SIZE)) * 0.4)
        times_ms.append(now_ms + np.arange(len(truth)) * SECOND_MS)
        now_ms = times_ms[-1][-1] + silence_h * HOUR_MS
    return given_out(normalise(np.concatenate(rows).astype(np.float32)), np.concatenate(times_ms))


def given_out(rows: np.ndarray, times_ms: np.ndarray) -> Samples:
    return Samples(rows, [[] for _ in rows], times_ms, np.arange(len(rows)))


def versions(samples: Samples, recipe: Recipe = RECIPE, learner: Learner | None = None) -> Iterator[Version]:
    learner = learner or Learner(recipe)
    while len(samples):
        part, samples = samples.cut(CHUNK)
        learner.learn(part)
        yield Version(learner.table, learner.take_events(), part)


@told
@given(stories, st.integers(0, 2**32))
@example(ONE_BECOMES_TWO, 0)
@example(LONG_SILENCE, 0)
def test_the_lineage_accounts_for_every_id(story, seed):
    """By the events alone it can be told which clusters there are. No id comes twice, each ends once, and descendants
    are younger than what they come from."""
    alive: set[int] = set()
    largest = 0
    for version in versions(samples_of(story, seed), replace(RECIPE, seed=seed)):
        for event in version.events:
            ended, begun = set(event.parents) - set(event.children), set(event.children) - set(event.parents)
            assert set(event.parents) <= alive
            assert all(child > largest for child in begun)
            largest = max(largest, *begun, *event.parents)
            alive = alive - ended | begun
        table = version.table
        assert alive == set(table.ids)
        assert len(table.ids) == len(alive) <= RECIPE.k
        assert largest < table.next_id


@told
@given(stories)
@example(ONE_BECOMES_TWO)
@example(LONG_SILENCE)
def test_every_version_is_whole(story):
    """Each id of a result is in the table of its version; centres have length 1; counts stay under the cap."""
    for number, version in enumerate(versions(samples_of(story)), 1):
        table, given_ids = version.table, assign(version.table, version.samples.embeddings)
        assert (table.version, given_ids.version) == (number, number)
        assert set(given_ids.ids) <= {None, *table.ids}
        assert len(table.centres) == len(table.anchors) == len(table.ids)
        assert np.linalg.norm(table.centres, axis=1) == pytest.approx(1, abs=1e-5)
        assert ((table.counts >= 1) & (table.counts <= RECIPE.count_cap)).all()
        assert (table.last_ms <= table.at_ms).all()
        assert table.position == version.samples.positions[-1] + 1


@told
@given(stories, st.sets(st.integers(0, 2000)), st.sampled_from((np.nan, np.inf, 0.0)))
def test_rubbish_between_the_samples_changes_nothing(story, places, rubbish):
    """The same samples give the same clusters and the same history, however many useless rows lie between them."""
    clean = samples_of(story)
    where = sorted(place for place in places if place < len(clean))
    rows = np.insert(clean.embeddings, where, rubbish, axis=0)
    dirty = given_out(rows, np.insert(clean.times_ms, where, 0))
    one, other = Learner(RECIPE), Learner(RECIPE)
    one.learn(clean)
    other.learn(dirty)
    assert one.take_events() == other.take_events()
    assert one.table.ids == other.table.ids
    np.testing.assert_allclose(one.table.centres, other.table.centres, atol=1e-5)


@told
@given(stories, st.integers(1, 16))
def test_a_successor_goes_on_where_the_last_learner_stopped(story, stop):
    """Given the table and all samples again, it passes over those that the table knows, and learns the others to the
    same ids and the same centres, up to the next refresh."""
    before, rest = samples_of(story).cut(stop * CHUNK)
    first = Learner(RECIPE)
    first.learn(before)
    successor = Learner(RECIPE, first.table)
    successor.learn(before)
    assert successor.table is first.table
    steps = REFRESH_STEPS - 1 - first.table.version % REFRESH_STEPS
    again = versions(rest, learner=successor)
    for version, other in list(zip(versions(rest, learner=first), again, strict=True))[:steps]:
        assert version.table.ids == other.table.ids
        assert version.table.position == other.table.position
        np.testing.assert_allclose(version.table.centres, other.table.centres, atol=1e-5)


@told
@given(stories, st.sampled_from((4_070_908_800_000, 0, -1, -(2**62), 2**62)), st.integers(0, 2**32))
def test_a_wrong_clock_moves_nothing(story, wrong_ms, seed):
    """A tenth of the samples from the year 2099, from 1970 or from before it: the table's time is that of the others,
    and no cluster is retired that would not have been."""
    samples = samples_of(story)
    wrong = np.random.default_rng(seed).random(len(samples)) < 0.1
    told_ms = np.where(wrong, wrong_ms, samples.times_ms)
    retired = 0
    for version in versions(given_out(samples.embeddings, told_ms)):
        own = samples.times_ms[version.samples.positions]
        assert own[0] <= version.table.at_ms <= own[-1]
        assert (version.table.last_ms >= BEGIN_MS).all()
        retired += sum(event.kind == "retired" for event in version.events)
    assert not retired or sum(silence for _, _, silence in story) * HOUR_MS > RECIPE.dormant_after_ms


@told
@given(stories)
@example(ONE_BECOMES_TWO)
@example(LONG_SILENCE)
def test_only_what_was_silent_for_long_is_retired(story):
    """A retired cluster had no text for `dormant_after`; a story that takes less time retires none."""
    last_ms: dict[int, int] = {}
    for version in versions(samples_of(story)):
        for event in version.events:
            if event.kind == "retired":
                assert event.at_ms - last_ms[event.parents[0]] > RECIPE.dormant_after_ms
        last_ms = dict(zip(version.table.ids, version.table.last_ms.tolist(), strict=True))


def test_a_topic_that_went_for_good_makes_room_for_a_new_one():
    """After `dormant_after` its cluster is retired where a new topic needs the room, and not a day earlier."""
    for silence_h, retired in ((30, False), (80, True)):
        story = [({0, 2, 4}, 1, silence_h), ({2, 3, 4}, 4, 0)]
        kinds = [e.kind for version in versions(samples_of(story), RECIPE) for e in version.events]
        assert ("retired" in kinds) == retired


@told
@given(st.integers(0, TOPICS - 1), st.integers(1, 3))
def test_a_flood_of_one_text_costs_no_other_cluster_its_id(topic, copies):
    """Thousands of copies of one text are not split, and the ids of other topics stay (field report 15)."""
    calm = samples_of([(set(range(0, TOPICS, 2)), 2, 0)])
    flood = np.repeat(samples_of([({topic}, 1, 0)]).embeddings[:1], copies * 2500, axis=0)
    rows = np.concatenate((calm.embeddings, flood))
    learner = Learner(RECIPE)
    learner.learn(given_out(rows, BEGIN_MS + np.arange(len(rows)) * SECOND_MS))
    assert [event.kind for event in learner.take_events()] == ["born"] * 3


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.dictionaries(st.integers(0, 30), st.integers(1, 400), min_size=1, max_size=12),
    size=st.integers(SLOTS + 1, 500),
)
@example({0: 10, 30: 10}, 50)
def test_the_window_is_bounded_and_spread(sizes, size):
    """It is full where enough has come, and never more than that; a quiet hour of the span keeps every row, and older
    rows leave where the span has enough."""
    window, random = Window(size=size, span_ms=DAY_MS), np.random.default_rng(0)
    for hour, count in sorted(sizes.items()):
        window.add(np.full((count, 1), hour, np.float32), np.full(count, (1000 + hour) * HOUR_MS), random)
    hours, counts = np.unique(window.rows, return_counts=True)
    kept = dict(zip(hours.tolist(), counts.tolist(), strict=True))
    recent = {hour: count for hour, count in sizes.items() if hour > max(sizes) - SLOTS}
    assert len(window.rows) <= min(size, sum(sizes.values()))
    assert all(kept[hour] == count for hour, count in recent.items() if count <= size // (SLOTS + 1))
    if sum(sizes.values()) <= size:
        assert kept == sizes
    if sizes[max(sizes)] >= size:
        assert set(kept) == set(recent)
