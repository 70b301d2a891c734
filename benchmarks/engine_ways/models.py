"""The models that are measured: a base, and classifiers with a stock head on a copy of it, written to a folder.

Their heads are random, and a classifier with layers of its own is random altogether: a pass costs the same.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, BertConfig
from transformers.utils import logging as transformers_logging

from worker.model.folder import read_folder

LABELS = ("one", "two", "three", "four")
CLASSIFIER, OTHER_CLASSIFIER, BASE = "classifier", "other-classifier", "base"


def write_models(folder: Path, *, large: bool) -> None:
    """`base` (MiniLM, or for a card a BERT-base of random weights), and the two classifiers."""
    torch.manual_seed(0)
    transformers_logging.disable_progress_bar()
    packaged = read_folder("minilm").root
    base = folder / BASE
    shutil.copytree(packaged, base)
    if large:
        AutoModel.from_config(BertConfig()).save_pretrained(base)
        _all_positions(base)
    for name in (CLASSIFIER, OTHER_CLASSIFIER):
        shutil.copytree(base, folder / name)
        config = AutoConfig.from_pretrained(base, num_labels=len(LABELS), id2label=dict(enumerate(LABELS)))
        model = AutoModelForSequenceClassification.from_config(config)
        if name == CLASSIFIER:
            model.base_model.load_state_dict(AutoModel.from_pretrained(base, dtype=torch.float32).state_dict())
        model.save_pretrained(folder / name)


def linear_head(width: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """[width, labels]."""
    return np.random.default_rng(0).normal(size=(width, len(LABELS))).astype(np.float32)


def _all_positions(base: Path) -> None:
    """The packaged encoder reads 256 tokens, a BERT-base 512."""
    (base / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 512, "do_lower_case": False}))
