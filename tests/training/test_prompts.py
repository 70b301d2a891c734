"""The prompt of a base, such as E5's "query: ": the model reads it before each text, in training as in the worker."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.model.stock import CLOSE, POOLING_FILES, embeddings, ids_of, load, predict
from tests.model.tiny import write_json, write_sentence_files
from tests.training.corpora import corpus_of, job_of, tiny_encoder
from tests.training.toy import ONE_THREAD, QUICK, write_base
from worker.model.characters import CharacterLogits
from worker.model.folder import read_folder
from worker.model.recipe import EngineRecipe
from worker.training.corpus import Example
from worker.training.embedding import embeddings_of
from worker.training.finetune import finetune
from worker.training.finish import Trained
from worker.training.head import train_head
from worker.training.progress import Silence

PROMPT = "w58 w59 "
PROMPTS = {"prompts": {"query": PROMPT, "passage": "w57 "}, "default_prompt_name": "query"}
LABELS = ("ham", "spam")


class Bases(NamedTuple):
    """The same weights, with a prompt and without."""

    prompted: Path
    plain: Path


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    root = tmp_path_factory.mktemp("bases")
    plain = tiny_encoder(root / "plain")
    prompted = shutil.copytree(plain, root / "prompted")
    write_json(prompted / "config_sentence_transformers.json", PROMPTS)
    return Bases(prompted, plain)


@pytest.fixture(scope="module")
def head(bases: Bases, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    out = tmp_path_factory.mktemp("head") / "model"
    cache, features = out.parent / "cache", "embedding+characters"
    return train_head(
        corpus_of(LABELS), job_of(bases.prompted, out), cache=cache, features=features, progress=Silence()
    )


def accuracy_of(folder: Path, examples: tuple[Example, ...]) -> float:
    """Measured with the engine, as the worker has it."""
    best = predict(load(folder), [example.text for example in examples]).scores[0].argmax(axis=1)
    return float(np.mean([(LABELS[place],) == example.labels for place, example in zip(best, examples, strict=True)]))


def told(trained: Trained) -> Any:
    assert trained.evaluation is not None
    return pytest.approx(trained.evaluation.quality.figures["accuracy"].value)


def embed(base: Path, texts: list[str], cache: Path) -> Any:
    return embeddings_of(texts, folder=read_folder(str(base)), recipe=EngineRecipe(), cache=cache, progress=Silence())


def test_training_embeds_it(bases: Bases, tmp_path: Path) -> None:
    """What a head learns from are embeddings of the prompt and the text; one cache keeps both bases apart."""
    texts = [example.text for example in corpus_of(LABELS).test]
    with_it = embed(bases.prompted, texts, tmp_path)
    np.testing.assert_array_equal(with_it, embed(bases.plain, [PROMPT + text for text in texts], tmp_path))
    assert np.abs(with_it - embed(bases.plain, texts, tmp_path)).max() > 0.01


def test_a_head_is_given_it_by_the_worker_too(head: Trained) -> None:
    """The trained directory has the base's prompt, and what it computes is the stock model's with the prompt."""
    folder, test = Path(head.out), corpus_of(LABELS).test
    texts = [example.text for example in test]
    found = predict(load(folder), texts)
    expected = embeddings(folder, ids_of([PROMPT + text for text in texts], max_length=20))
    np.testing.assert_allclose(found.embeddings, expected, **CLOSE)
    assert accuracy_of(folder, test) == told(head)


def test_characters_do_not_see_it(head: Trained) -> None:
    """It would be the same n-grams in every text."""
    texts = ["w1 w2 w3", "w40"]
    weights = load_file(Path(head.out) / "head.safetensors")["ngrams"]
    (added,) = load(Path(head.out)).tokenize(texts).added.values()
    np.testing.assert_allclose(added, CharacterLogits(weights)(texts), rtol=0, atol=1e-5)
    assert np.abs(added - CharacterLogits(weights)([PROMPT + text for text in texts])).max() > 0


@pytest.mark.parametrize("top", [1, None], ids=["top:1", "full"])
def test_fine_tuning_reads_it(tmp_path: Path, top: int | None) -> None:
    """The classifier is trained and used with the prompt of its base: both count the same texts as right."""
    base = write_sentence_files(write_base(tmp_path / "base"), pooling=POOLING_FILES["mean"], prompts=PROMPTS)
    corpus = corpus_of(LABELS)
    job = job_of(base, tmp_path / "model")
    trained = finetune(corpus, job, top=top, options=QUICK, machine=ONE_THREAD, progress=Silence())
    assert read_folder(str(tmp_path / "model")).prompt == PROMPT
    assert accuracy_of(tmp_path / "model", corpus.test) == told(trained)
