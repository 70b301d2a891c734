"""Tiny random models with a tokenizer of their own, written as the folders that people have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

WORDS = [f"w{i}" for i in range(60)]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZES: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
SPREAD = 15.0  # times the usual 0.02: so that a wrong position or mask shows in the scores
VOCABULARY = len(WORDS) + len(SPECIAL)


def config_of(kind: str, **options: Any) -> PreTrainedConfig:
    """A config of 62 usable positions, whatever the family makes of its table."""
    if kind == "bert":
        return BertConfig(vocab_size=VOCABULARY, max_position_embeddings=62, pad_token_id=0, **SIZES, **options)
    if kind == "roberta":  # padding id 0: positions begin at 1
        return RobertaConfig(
            vocab_size=VOCABULARY, max_position_embeddings=63, pad_token_id=0, type_vocab_size=1, **SIZES, **options
        )
    return DistilBertConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=62,
        pad_token_id=0,
        dim=16,
        n_layers=2,
        n_heads=2,
        hidden_dim=24,
        **options,
    )


def write_classifier(folder: Path, config: PreTrainedConfig, *, max_length: int | None = None) -> Path:
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_config(config)
    return _write(folder, model, max_length)


def write_encoder(folder: Path, config: PreTrainedConfig, *, max_length: int | None = None) -> Path:
    torch.manual_seed(2)
    return _write(folder, AutoModel.from_config(config), max_length)


def write_sentence_files(
    folder: Path, *, pooling: dict[str, Any], max_seq_length: int = 20, prompts: dict[str, Any] | None = None
) -> Path:
    """Make an encoder a sentence-transformers folder."""
    prefix = "sentence_transformers.models."
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": prefix + "Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": prefix + "Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": prefix + "Normalize"},
    ]
    (folder / "1_Pooling").mkdir()
    write_json(folder / "modules.json", modules)
    write_json(folder / "1_Pooling" / "config.json", pooling)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_seq_length, "do_lower_case": False})
    if prompts is not None:
        write_json(folder / "config_sentence_transformers.json", prompts)
    return folder


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def change_json(path: Path, **changes: Any) -> None:
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | changes)


def tokenizer_of(max_length: int | None) -> PreTrainedTokenizerFast:
    """Words to ids, with [CLS] and [SEP] around them."""
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    limit = {} if max_length is None else {"model_max_length": max_length}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names, **limit)


def _write(folder: Path, model: Any, max_length: int | None) -> Path:
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(SPREAD if weights.dim() > 1 else 1.0)
    model.save_pretrained(folder)
    tokenizer_of(max_length).save_pretrained(folder)
    return folder
