"""Baselines in a model card: they are fitted by the way, where that takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.corpora import corpus_of, job_of, tiny_encoder
from tests.training.toy import ONE_THREAD, QUICK, write_base
from tests.training.toy import corpus_of as toy_corpus
from tests.training.toy import job_of as toy_job
from worker.training import beside
from worker.training.finetune import finetune
from worker.training.finish import Trained
from worker.training.head import train_head
from worker.training.progress import Silence


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("models") / "encoder")


def train(encoder: Path, out: Path, **corpus: Any) -> tuple[Trained, list[str]]:
    """What came of it, and the model card's lines."""
    job = job_of(encoder, out, beside=True)
    trained = train_head(corpus_of(["ham", "spam"], **corpus), job, cache=out.parent / "cache", progress=Silence())
    return trained, (out / "README.md").read_text(encoding="utf-8").splitlines()


def test_the_card_says_in_its_first_line_whether_it_pays(encoder: Path, tmp_path: Path) -> None:
    """And shows the baselines below the model, on the same test texts."""
    trained, card = train(encoder, tmp_path / "model")
    assert card[0] == "# model"
    assert card[2].startswith("**BERT does not pay here: ")
    assert trained.evaluation is not None
    assert [(b.name, b.features) for b in trained.evaluation.baselines] == [
        (name, features) for features in ("words", "characters") for name in ("linear SVM", "naive Bayes")
    ]
    assert all(len(one.figures) > 4 for one in trained.evaluation.baselines)
    rows = [line.split(" | ")[0] for line in card]
    assert rows.index("| linear SVM on words") == rows.index("| this model") + 1


def test_a_fine_tuning_stands_beside_them_too(tmp_path: Path) -> None:
    """Its test texts are read in another order, and both are judged on the same."""
    job = toy_job(write_base(tmp_path / "base"), tmp_path / "out", beside=True)
    corpus = toy_corpus(train=60, valid=15, test=18)
    trained = finetune(corpus, job, top=None, progress=Silence(), options=QUICK, machine=ONE_THREAD)
    assert trained.evaluation is not None
    assert trained.evaluation.against is not None
    own = trained.evaluation.quality.figures["macro_f1"].value
    best = max(baseline.figures["macro_f1"].value for baseline in trained.evaluation.baselines)
    assert best > 0.8
    assert trained.evaluation.against.comparison.macro_f1.value == pytest.approx(own - best)


@pytest.mark.parametrize("limit", ["MAX_CHARACTERS", "MAX_WORK"])
def test_what_would_take_long_is_left_out_and_said(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """In the card and in what comes back; the model is not held up."""
    monkeypatch.setattr(beside, limit, 100)
    trained, card = train(encoder, tmp_path / "model")
    assert "characters of training texts and 2 labels would take long" in trained.no_baseline
    assert any(line.startswith("No baselines beside it, as ") for line in card)
    assert trained.evaluation is not None
    assert not trained.evaluation.baselines


def test_without_a_validation_part_there_are_none(encoder: Path, tmp_path: Path) -> None:
    """Nothing could be chosen for them."""
    trained, card = train(encoder, tmp_path / "model", empty=("valid",))
    assert trained.no_baseline == "there is no validation part to choose their strength on"
    assert not [line for line in card if "BERT" in line]
