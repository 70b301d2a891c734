"""A new model and the one in use, with tiny models: compared as each reads texts, then put where it belongs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.corpora import corpus_of, job_of, tiny_encoder
from worker.errors import SettingsError
from worker.evaluation.replacement import Replacement
from worker.model.folder import read_folder
from worker.model.recipe import EngineRecipe
from worker.text.preparation import Preparation
from worker.training.corpus import Corpus, Example
from worker.training.head import train_head
from worker.training.progress import Silence
from worker.training.replacing import compare_models, model_in_use, new_place, refused_place, settle

LABELS = ("ham", "spam")
OTHER = {"ham": "spam", "spam": "ham"}
HERE = EngineRecipe(device="cpu", threads=1)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("models") / "encoder")


def _train(encoder: Path, out: Path, corpus: Corpus, **options: object) -> None:
    job = job_of(encoder, out, **options)
    train_head(corpus, job, cache=encoder.parent / "cache", recipe=HERE, progress=Silence())


def _wrong(corpus: Corpus) -> Corpus:
    """Every label the other one, but for the test part."""

    def turned(examples: Sequence[Example]) -> tuple[Example, ...]:
        return tuple(replace(example, labels=(OTHER[example.labels[0]],)) for example in examples)

    return replace(corpus, train=turned(corpus.train), valid=turned(corpus.valid))


def _compared(in_use: Path, new: Path, test: Sequence[Example]) -> Replacement:
    flags = [i % 4 == 0 for i in range(len(test))]
    return compare_models(in_use, new, test, flags, recipe=HERE, progress=Silence())


def test_a_better_model_takes_the_place(encoder: Path, tmp_path: Path) -> None:
    """Under its own name, whole, and nothing is left beside it."""
    corpus, out = corpus_of(LABELS), tmp_path / "spam"
    _train(encoder, out, _wrong(corpus))
    assert model_in_use(out).labels == LABELS
    _train(encoder, new_place(out), corpus)
    found = _compared(out, new_place(out), corpus.test)
    assert found.refusal is None
    assert found.whole.macro_f1.value > 0.5
    assert (found.corrected, found.right_in_use < found.right_new) == (6, True)
    revision = read_folder(str(new_place(out))).revision
    assert settle(out, found) == out
    assert read_folder(str(out)).revision == revision
    assert "# spam\n" in (out / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["spam"]


def test_a_worse_model_is_kept_beside(encoder: Path, tmp_path: Path) -> None:
    """The model in use stays as it is, byte by byte; an earlier one that was refused is replaced."""
    corpus, out = corpus_of(LABELS), tmp_path / "spam"
    _train(encoder, out, corpus)
    revision = read_folder(str(out)).revision
    for _ in range(2):
        _train(encoder, new_place(out), _wrong(corpus))
        found = _compared(out, new_place(out), corpus.test)
        assert found.refusal is not None
        assert all(change.difference.value < 0 for change in found.labels)
        assert settle(out, found) == refused_place(out) == tmp_path / "spam.refused"
    assert read_folder(str(out)).revision == revision
    assert read_folder(str(tmp_path / "spam.refused")).labels == LABELS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spam", "spam.refused"]


def test_each_model_reads_texts_as_it_was_trained_on_them(encoder: Path, tmp_path: Path) -> None:
    """A preparation of its own: here one without which the model in use would be wrong."""
    corpus = corpus_of(LABELS)
    marked = replace(corpus, test=tuple(replace(e, text=e.text.replace(" ", ". ")) for e in corpus.test))
    _train(encoder, tmp_path / "old", corpus, preparation=Preparation(strip_punctuation=True))
    _train(encoder, tmp_path / "new", corpus)
    found = _compared(tmp_path / "old", tmp_path / "new", marked.test)
    plain = _compared(tmp_path / "old", tmp_path / "new", corpus.test)
    assert found.macro_f1_in_use == plain.macro_f1_in_use


def test_a_new_label_counts_against_the_model_that_lacks_it(encoder: Path, tmp_path: Path) -> None:
    """In use it can only be wrong about it."""
    three = corpus_of(("bills", *LABELS))
    _train(encoder, tmp_path / "old", corpus_of(LABELS))
    _train(encoder, tmp_path / "new", three)
    found = _compared(tmp_path / "old", tmp_path / "new", three.test)
    changes = {change.label: change for change in found.labels}
    assert (found.texts, changes["bills"].in_use) == (36, 0.0)
    assert changes["bills"].new > 0.5


def test_without_a_model_in_use_there_is_nothing_to_replace(encoder: Path, tmp_path: Path) -> None:
    """Said before anything is read; so is a place for refused models that is somebody's."""
    with pytest.raises(SettingsError, match="holds none: train one first"):
        model_in_use(tmp_path / "spam")
    _train(encoder, tmp_path / "spam", corpus_of(LABELS))
    (tmp_path / "spam.refused").write_text("mine")
    with pytest.raises(SettingsError, match=r"spam.refused exists and is not a trained model"):
        model_in_use(tmp_path / "spam")
