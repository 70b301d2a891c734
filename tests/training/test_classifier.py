"""What a fine-tuning does to a stock classifier besides training it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from tests.model.tiny import FAMILIES, change_weights, config_of, texts_of, tokenizer_of
from tests.training.toy import LABELS, corpus_of, job_of, write_base
from worker.errors import SettingsError
from worker.evaluation.answers import Answers
from worker.model.loading import load_tokens
from worker.model.tokens import Tokens
from worker.training.batches import Padding, Row, Rows, rows_of
from worker.training.classifier import load_classifier, soften, warm_head
from worker.training.corpus import Kind
from worker.training.trainer import answer, loss_of


def loaded(folder: Path, kind: Kind = "single") -> tuple[Any, Rows]:
    """A classifier with a random head, and texts for it."""
    torch.manual_seed(0)
    base = job_of(folder, folder).base
    model, _ = load_classifier(base, LABELS, kind)
    recipe, pad = load_tokens(base, model.config.pad_token_id)
    return model, rows_of(corpus_of(kind), LABELS, Tokens(recipe), pad)


@pytest.mark.parametrize("kind", FAMILIES)
def test_all_logits_are_divided_by_the_temperature(kind: str) -> None:
    """In the last layer of each family, which alone is changed."""
    model = AutoModelForSequenceClassification.from_config(config_of(kind, num_labels=5)).eval()
    for name, weights in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weights)  # it counts too, and new models have none
    given = tokenizer_of(None)(texts_of(1, 9), return_tensors="pt")["input_ids"]
    with torch.no_grad():
        before = model(input_ids=given).logits
        soften(model, 2.5)
        after = model(input_ids=given).logits
    torch.testing.assert_close(after, before / 2.5)


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_a_warm_head_knows_more_than_a_random_one(tmp_path: Path, kind: Kind) -> None:
    """It tells the labels of the training's texts apart before any layer has learned; and no layer has changed."""
    model, rows = loaded(write_base(tmp_path / "base"), kind)
    before = [weights.clone() for weights in model.base_model.parameters()]
    cold = apart(answer(model, rows.train, rows))
    warm_head(model, [Padding(rows.pad)(rows.train)], kind, balanced=False, seed=0)
    assert apart(answer(model, rows.train, rows)) > cold + 0.03
    assert all(map(torch.equal, before, model.base_model.parameters()))


def apart(answers: Answers) -> float:
    """How much higher labels score that are true."""
    return float(answers.scores[answers.truth].mean() - answers.scores[~answers.truth].mean())


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_rare_labels_weigh_more_if_balanced(kind: Kind) -> None:
    """All texts of a label together then weigh as much as all those of another; otherwise each text does."""
    flags = np.repeat(np.eye(3, dtype=np.float32), (60, 30, 10), axis=0)
    targets = list(flags) if kind == "multi" else [np.asarray(place, np.int64) for place in flags.argmax(axis=1)]
    rows = [Row(input_ids=np.zeros(1, np.int32), labels=target, characters=1) for target in targets]
    given = Rows(rows, [], [], LABELS, kind, 0, 0)
    labels = torch.eye(3) if kind == "multi" else torch.arange(3)
    plain, balanced = (pulls(loss_of(given, balanced=balanced), labels) for balanced in (False, True))
    assert plain == pytest.approx([plain[0]] * 3)
    factors = (40 / 60, 70 / 30, 90 / 10) if kind == "multi" else (1 / 60, 1 / 30, 1 / 10)
    assert balanced == pytest.approx([balanced[0] * factor / factors[0] for factor in factors])


def pulls(loss: Any, labels: torch.Tensor) -> list[float]:
    """How hard a text of each label pulls at that label's logit."""
    logits = torch.zeros(3, 3, requires_grad=True)
    loss({"logits": logits}, labels).backward()
    assert logits.grad is not None
    return [-pull for pull in logits.grad.diagonal().tolist()]


def test_a_base_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    """A weight that is missing would be random: one line, which names it."""
    base = write_base(tmp_path / "base")
    change_weights(base, lambda weights: weights.pop("encoder.layer.1.output.dense.weight"))
    with pytest.raises(SettingsError, match=r"lacks 1 weights, e\.g\. bert\.encoder\.layer\.1\.output\.dense\.weight"):
        loaded(base)
