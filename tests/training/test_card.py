"""The model card."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.corpora import corpus_of, job_of, tiny_encoder
from worker.model.manifest import Manifest, Prepared
from worker.text.preparation import Preparation, recorded
from worker.training.card import card
from worker.training.corpus import Corpus
from worker.training.job import Job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return job_of(tiny_encoder(tmp_path / "encoder"), tmp_path / "spam", preparation=Preparation(mask=("urls",)))


def manifest_for(job: Job, corpus: Corpus) -> Manifest:
    preparation = Prepared(**recorded(job.preparation))
    return Manifest(labels=corpus.labels, kind=corpus.kind, head="linear", preparation=preparation)


def test_the_settings_in_it_are_those_of_the_training(job: Job) -> None:
    """Also where the training left out what is on by default."""
    corpus = corpus_of(["ham", "spam"])
    written = card(job, corpus, manifest_for(job, corpus), {"C": 3.0}, None)
    settings = "    model:\n      path: spam\n    text:\n      mask: [urls]\n      normalize: none\n"
    assert settings in written
    assert "| C | 3.0 |" in written
    assert "| ham | 40 | 16 | 12 |" in written


def test_a_label_breaks_no_table(job: Job) -> None:
    """Labels are whatever people write into a column."""
    corpus = corpus_of(["a | b", "c\n# d`"])
    written = card(job, corpus, manifest_for(job, corpus), {}, None)
    assert "| a \\| b | 40 | 16 | 12 |" in written
    assert "| c # d' | 40 | 16 | 12 |" in written
