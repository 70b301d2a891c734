"""Explanations: shares that add up to what they divide, and go to the words that carried the label."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.model.stock import CLOSE
from tests.model.tiny import (
    PACKED,
    PADDED,
    change_json,
    change_weights,
    config_of,
    manifest_of,
    write_classifier,
    write_encoder,
    write_json,
    write_linear,
    write_sentence_files,
)
from worker.errors import SettingsError
from worker.model.assembly import load_engine
from worker.model.characters import BUCKETS, character_matrix
from worker.model.explain import Explainer, Explanation, attribute, log_odds
from worker.model.folder import read_folder
from worker.model.recipe import ClassifierRecipe, EngineRecipe

LABELS = ("ham", "spam", "other")
TEXT = "w3 w1 w7 w4 w4 w9"


def explain(folder: Path, text: str = TEXT, label: str | None = None) -> Explanation:
    return Explainer(read_folder(str(folder)), device="cpu")(text, label)


def scores_of(folder: Path, text: str) -> np.ndarray:
    engine = load_engine(EngineRecipe((ClassifierRecipe("c", str(folder)),), device="cpu"))
    return engine.infer(engine.tokenize([text])).scores[0][0]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Attention and layers do nothing: the embedding is the mean of the words', and w7's points one way."""
    folder = write_encoder(tmp_path_factory.mktemp("encoder"), config_of("bert"))

    def flatten(weights: Any) -> None:
        for name, tensor in weights.items():
            if "encoder.layer" in name and tensor.dim() > 1:
                tensor.zero_()
        words = weights["embeddings.word_embeddings.weight"]
        words[5 + 7] = torch.arange(16.0) * 20

    change_weights(folder, flatten)
    return write_sentence_files(folder, pooling={"pooling_mode_mean_tokens": True})


@pytest.fixture(scope="module")
def model(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Spam is what goes the way of w7."""
    folder = write_linear(tmp_path_factory.mktemp("models") / "model", encoder, labels=LABELS)
    weight = torch.zeros(3, 16)
    weight[1] = torch.linspace(-1, 1, 16) * 3
    save_file({"weight": weight, "bias": torch.tensor([0.2, -0.5, 0.1])}, folder / "head.safetensors")
    return folder


def test_a_linear_model_is_divided_exactly():
    """Of a weighted sum, each number's share is its weight times how far it is from the baseline."""
    weights = torch.tensor([[[1.0, -2.0], [0.5, 3.0]]])
    inputs, baselines = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[0.0, 1.0], [1.0, 1.0]]])
    parts = torch.tensor([[[0.25], [-1.0]]])
    (tokens, characters), delta, steps = attribute(
        lambda e, p: (e * weights).sum(dim=(1, 2)) + p.sum(dim=(1, 2)), (inputs, parts), (baselines, parts * 0), 8
    )
    torch.testing.assert_close(tokens, weights * (inputs - baselines))
    torch.testing.assert_close(characters, parts)
    assert abs(delta) < 1e-5
    assert steps == 32


def test_log_odds_are_those_of_the_score():
    """They are log(p / (1 - p)), whether labels exclude each other or not."""
    logits = torch.tensor([[0.3, -1.0, 2.0]])
    single, multi = logits.softmax(dim=1), logits.sigmoid()
    for column in range(3):
        assert math.isclose(float(log_odds(logits, column, "single")), float(single.logit()[0, column]), abs_tol=1e-5)
        assert math.isclose(float(log_odds(logits, column, "multi")), float(multi.logit()[0, column]), abs_tol=1e-5)


def test_the_planted_word_wins(model):
    """The word that makes a text spam has the largest share, and the shares add up."""
    explained = explain(model, label="spam")
    assert [TEXT[word.start : word.end] for word in explained.words] == TEXT.split()
    best = max(explained.words, key=lambda word: word.share)
    assert best.text == "w7"
    assert best.share > 3 * max(word.share for word in explained.words if word.text != "w7")
    total = sum(word.share for word in explained.words)
    assert total == pytest.approx(explained.log_odds - explained.without, abs=0.02 * abs(total))
    assert explained.holds


def test_the_label_that_a_text_gets_is_explained(model):
    """Without a label it is the best one; the scores are those of the engine."""
    explained = explain(model)
    np.testing.assert_allclose(list(explained.scores.values()), scores_of(model, TEXT), **CLOSE)
    assert explained.label == max(explained.scores, key=explained.scores.__getitem__) == "spam"


@pytest.mark.parametrize("kind", sorted({*PACKED, *PADDED}))
def test_every_family_can_be_explained(tmp_path, kind):
    """Stock heads of all families: the engine's scores, one share a word, and a sum that holds."""
    folder = write_classifier(tmp_path / kind, config_of(kind, num_labels=3))
    change_weights(folder, lambda weights: [tensor.mul_(0.2) for tensor in weights.values() if tensor.dim() > 1])
    explained = explain(folder)
    np.testing.assert_allclose(list(explained.scores.values()), scores_of(folder, TEXT), rtol=0, atol=1e-4)
    assert len(explained.words) == 6
    total = sum(word.share for word in explained.words)
    assert total - (explained.log_odds - explained.without) == pytest.approx(explained.delta, abs=1e-4)


def test_labels_that_go_together(tmp_path):
    """Of a multi-label model each label is explained by its own logit."""
    options = {"num_labels": 3, "problem_type": "multi_label_classification"}
    folder = write_classifier(tmp_path / "multi", config_of("bert", **options))
    change_weights(folder, lambda weights: [tensor.mul_(0.2) for tensor in weights.values() if tensor.dim() > 1])
    explained = explain(folder, label="LABEL_1")
    score = scores_of(folder, TEXT)[1]
    assert explained.log_odds == pytest.approx(math.log(score / (1 - score)), abs=1e-3)


def test_characters_have_their_share(model, tmp_path):
    """A head that reads characters is explained whole: what it finds in a word counts for that word."""
    folder = write_linear(tmp_path / "model", model, labels=LABELS)
    weights = np.zeros((3, BUCKETS), np.float32)
    weights[2, character_matrix(["xx££"]).indices] = 30.0  # of "other"
    weights[0, character_matrix(["w1"]).indices] = 1.0
    head = load_file(model / "head.safetensors")
    save_file({**head, "ngrams": torch.from_numpy(weights)}, folder / "head.safetensors")
    write_json(folder / "tagstream.json", manifest_of(LABELS, features="embedding+characters"))
    text = f"{TEXT} {'w2 ' * 80}xx££"  # behind the model's last token
    explained = explain(folder, text)
    np.testing.assert_allclose(list(explained.scores.values()), scores_of(folder, text), **CLOSE)
    assert (explained.label, explained.truncated) == ("other", True)
    assert max(explained.words, key=lambda word: word.share).text == "xx££"
    assert sum(word.share for word in explained.words) == pytest.approx(
        explained.log_odds - explained.without + explained.delta, abs=1e-3
    )


def test_prompts_and_cases_leave_words_where_they_are(encoder, tmp_path):
    """What the model is given beside the text has no share, and no word moves by it."""
    prompts = {"prompts": {"query": "w1 w2 "}, "default_prompt_name": "query"}
    folder = write_linear(tmp_path / "model", encoder, labels=LABELS)
    write_json(folder / "config_sentence_transformers.json", prompts)
    change_json(folder / "sentence_bert_config.json", do_lower_case=True)
    explained = explain(folder, "W3 W7")
    assert [(word.text, word.start, word.end) for word in explained.words] == [("w3", 0, 2), ("w7", 3, 5)]
    np.testing.assert_allclose(list(explained.scores.values()), scores_of(folder, "W3 W7"), **CLOSE)


def test_what_cannot_be_explained(model, encoder):
    """An encoder without labels, a label that there is not, and a text without words, in one line each."""
    with pytest.raises(SettingsError, match="no head"):
        explain(encoder)
    with pytest.raises(SettingsError, match="no label 'eggs'; it has: ham, spam, other"):
        explain(model, label="eggs")
    with pytest.raises(SettingsError, match="no word"):
        explain(model, text=" \n")
