"""What people order about the shared clusters, on a real broker: `tagstream clusters rename|pin|merge`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.kafka.conftest import TopicFactory
from tests.kafka.learners import Topics, member, send_samples, settings_of, versions, wait_until
from worker import clustering
from worker.cli import main as cli
from worker.clusters.table import Table
from worker.settings import Settings

COMPACT = {"cleanup.policy": "compact"}
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def topics(topic_factory: TopicFactory) -> Topics:
    return Topics(topic_factory("table", configs=COMPACT), topic_factory("samples"), topic_factory("events"))


@pytest.fixture
def call(
    kafka: str, topics: Topics, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`tagstream …` with the settings of these topics."""
    names = (
        f"clusters.topic={topics.table}",
        f"clusters.sample_topic={topics.samples}",
        f"clusters.event_topic={topics.events}",
        f"kafka.bootstrap={kafka}",
    )
    assignments = [part for name in names for part in ("--set", name)]

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["tagstream", *words, *assignments])
        return cli.main(), *capsys.readouterr()

    return run


def _raise(error: Exception) -> None:
    raise error


def _table_of(shared: clustering.Shared) -> Table:
    assert shared.follower is not None
    return shared.follower.table


def _begun(settings: Settings, kafka: str, topics: Topics) -> None:
    """A first version of four clusters, learned by a worker that is gone again."""
    send_samples(kafka, topics, 300)
    with member(settings, _raise) as one:
        wait_until(lambda: _table_of(one).version == 1)


def test_orders_are_carried_out_in_the_next_version(
    kafka: str, unique: Callable[[str], str], topics: Topics, call: Call
) -> None:
    """A name, a pin and a merge by hand are in the table that every worker uses, at once; the samples before them are
    learned, none twice; and the history tells them.
    """
    settings = settings_of(kafka, unique("g"), topics)
    _begun(settings, kafka, topics)
    send_samples(kafka, topics, 100, seed=1)  # they wait for a whole step, which an order does not
    assert call("clusters", "rename", "2", "Lost cards")[0] == 0
    assert call("clusters", "pin", "3")[0] == 0
    assert call("clusters", "merge", "3", "4")[0] == 0
    with member(settings, _raise) as one:
        wait_until(lambda: _table_of(one).ids == (1, 2, 3))
        table = _table_of(one)
        assert (table.names[2], table.named, table.pinned) == ("Lost cards", {2}, {3})
        assert (table.position, int(table.seen.sum())) == (403, 400)
        send_samples(kafka, topics, 256, seed=2)
        wait_until(lambda: _table_of(one).position == 659)
    newest = versions(kafka, topics.table)[-1].table
    assert (newest.names[2], newest.named, newest.pinned) == ("Lost cards", {2}, {3})
    assert int(newest.seen.sum()) == 656
    code, out, _ = call("clusters", "history")
    assert code == 0
    assert "took in 4: by hand" in out
    assert "called “Lost cards”: by hand" in out


def test_an_order_outlives_the_learner_that_reads_it(
    kafka: str, unique: Callable[[str], str], topics: Topics, call: Call
) -> None:
    """What one learner has published, the next one keeps, and it does not do it again."""
    settings = settings_of(kafka, unique("g"), topics)
    _begun(settings, kafka, topics)
    call("clusters", "pin", "2")
    with member(settings, _raise) as one:
        wait_until(lambda: _table_of(one).pinned == {2})
    call("clusters", "pin", "2", "--off")
    send_samples(kafka, topics, 256, seed=1)
    with member(settings, _raise) as other:
        assert _table_of(other).pinned == {2}
        wait_until(lambda: _table_of(other).version == 4)
    found = [one.table for one in versions(kafka, topics.table)]
    assert [(table.version, set(table.pinned)) for table in found[:2]] == [(1, set()), (2, {2})]
    assert found[-1].pinned == frozenset()


def test_an_id_that_is_not_there_is_refused(
    kafka: str, unique: Callable[[str], str], topics: Topics, call: Call
) -> None:
    """Before the first table, and for ids that never were or have ended: one line, and nothing is ordered."""
    code, _, err = call("clusters", "pin", "1")
    assert code == 1
    assert "no clusters yet" in err
    settings = settings_of(kafka, unique("g"), topics)
    _begun(settings, kafka, topics)
    for words in (("pin", "9"), ("rename", "9", "x"), ("merge", "1", "9")):
        code, _, err = call("clusters", *words)
        assert (code, err.count("\n")) == (1, 1)
        assert "has no cluster 9 (there never was one)" in err
    assert call("clusters", "merge", "1", "1")[0] == 2
    assert call("clusters", "rename", "1")[0] == 2
    code, out, _ = call("tail", topics.samples, "--from-beginning", "--until", "end", "--count", "--json")
    assert json.loads(out)["counts"][0]["records"] == 300


def test_the_table_can_be_looked_at(kafka: str, unique: Callable[[str], str], topics: Topics, call: Call) -> None:
    """`list`, `show` and `tail` say in lines what the topics hold, without vectors."""
    settings = settings_of(kafka, unique("g"), topics)
    _begun(settings, kafka, topics)
    code, out, _ = call("clusters", "list", "--json")
    told = json.loads(out)
    assert (code, told["version"], told["encoder"]) == (0, 1, "enc")
    assert sorted(row["id"] for row in told["clusters"]) == [1, 2, 3, 4]
    assert sum(row["seen"] for row in told["clusters"]) == 300
    code, out, _ = call("clusters", "show", "1")
    assert code == 0
    assert "moved           cosine 1.000" in out
    shown = _lines(call, topics.table)
    assert [line.split()[0] for line in shown] == ["cluster"] * 4 + ["version"]
    assert max(map(len, shown)) < 120
    assert all("born [] → [" in line for line in _lines(call, topics.events))
    assert set(_lines(call, topics.samples)) == {"sample   default  word"}


def _lines(call: Any, topic: str) -> list[str]:
    code, out, _ = call("tail", topic, "--from-beginning", "--until", "end")
    assert code == 0
    return out.splitlines()
