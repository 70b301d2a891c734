"""A first table from a file of texts, on a real broker: `tagstream clusters fit`, and `evaluate` after it."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clusters.test_learner import blobs, samples
from tests.kafka.conftest import TopicFactory
from tests.kafka.learners import ENCODER, Topics, member, send_samples, settings_of, versions, wait_until
from tests.model.tiny import config_of, write_encoder, write_sentence_files
from worker.cli import main as cli
from worker.cli.clusterfit import publish_first
from worker.clustering import recipe_of
from worker.clusters.fitting import first_table
from worker.errors import Stop

COMPACT = {"cleanup.policy": "compact"}
TOPICS = {"card": range(15), "rate": range(15, 30), "login": range(30, 45)}  # words of each
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def topics(topic_factory: TopicFactory) -> Topics:
    return Topics(topic_factory("table", configs=COMPACT), topic_factory("samples"), topic_factory("events"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_encoder(tmp_path_factory.mktemp("models") / "encoder", config_of("bert"))
    return write_sentence_files(folder, pooling={"pooling_mode_mean_tokens": True})


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Texts of three topics that share no word."""
    chosen = random.Random(3)
    rows = [
        {"text": " ".join(f"w{chosen.choice(words)}" for _ in range(6)), "label": label}
        for label, words in TOPICS.items()
        for _ in range(80)
    ]
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def call(
    kafka: str, topics: Topics, encoder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """`tagstream clusters …` with the settings of these topics and a tiny encoder."""
    names = (
        f"model.path={encoder}",
        "clusters.k=3",
        f"clusters.topic={topics.table}",
        f"clusters.sample_topic={topics.samples}",
        f"clusters.event_topic={topics.events}",
        f"kafka.bootstrap={kafka}",
    )
    assignments = [part for name in names for part in ("--set", name)]

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["tagstream", "clusters", *map(str, words), *assignments])
        return cli.main(), *capsys.readouterr()

    return run


def test_a_worker_starts_with_clusters_of_a_file(
    kafka: str, topics: Topics, texts: Path, call: Call, tmp_path: Path
) -> None:
    """`fit` publishes version 1 with its history; `evaluate` judges and draws it, `show` finds texts of the file; a
    table that is there is not touched.
    """
    code, out, err = call("fit", texts, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["texts"], [row["id"] for row in sorted(told["clusters"], key=lambda row: row["id"])]) == (
        240,
        [1, 2, 3],
    )
    (first,) = versions(kafka, topics.table)
    assert (first.table.version, first.table.position, first.table.ids) == (1, 0, (1, 2, 3))
    assert "born: fitted from a file" in call("history")[1]
    code, out, err = call("evaluate", texts, "--json", "--map", tmp_path / "map.html")
    assert code == 0, err
    judged = json.loads(out)
    assert judged["texts"] == 240
    assert judged["agreement"]["labels"] == 3
    assert 0 < judged["agreement"]["nmi"] <= 1
    assert "data:image/png" in (tmp_path / "map.html").read_text(encoding="utf-8")
    code, out, _ = call("show", "1", "--texts", texts, "--top", "2", "--json")
    assert [text["similarity"] > 0 for text in json.loads(out)["texts"]] == [True, True]
    code, _, err = call("fit", texts)
    assert (code, err.count("\n")) == (1, 1)
    assert "exists (version 1)" in err


def test_a_try_writes_nothing(kafka: str, topics: Topics, texts: Path, call: Call) -> None:
    """`--dry-run` says what it would be, and which number of clusters `--k auto` takes."""
    code, out, err = call("fit", texts, "--dry-run", "--k", "auto")
    assert code == 0, err
    assert out.count("← taken") == 1
    assert "version 1 of table default would be" in out
    assert versions(kafka, topics.table) == []


def test_a_learner_in_its_warm_up_takes_the_fitted_table(
    kafka: str, unique: Callable[[str], str], topics: Topics
) -> None:
    """A worker that waits for its warm-up uses it at once, and its learner goes on from it: there is one first version,
    and the samples that waited are learned.
    """
    settings = settings_of(kafka, unique("g"), topics)
    failures: list[Exception] = []
    with member(settings, failures.append) as one:
        send_samples(kafka, topics, 200)
        rows, _ = blobs(500)
        fitted = first_table(samples(rows), recipe_of(settings))
        publish_first(settings, fitted, ENCODER)
        wait_until(lambda: one.follower is not None and one.follower.table.version == 1)
        send_samples(kafka, topics, 200, seed=1)
        wait_until(lambda: one.follower is not None and one.follower.table.version == 2)
    assert failures == []
    found = [version.table for version in versions(kafka, topics.table)]
    assert [table.version for table in found] == [1, 2]
    assert (found[1].position, int(found[1].seen.sum())) == (256, 500 + 256)
    with pytest.raises(Stop, match=r"exists \(version 2\)"):
        publish_first(settings, fitted, ENCODER)
