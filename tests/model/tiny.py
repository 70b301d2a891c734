"""Tiny random models with a tokenizer of their own, written as the folders that people have."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    CamembertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

WORDS = [f"w{i}" for i in range(60)]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZES: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
SPREAD = 15.0  # times the usual 0.02: so that a wrong position or mask shows in the scores
VOCABULARY = len(WORDS) + len(SPECIAL)
POSITIONS = 62  # as many as WORDS, and two special tokens


class Family(NamedTuple):
    """A model type: its config with small sizes, and how many rows of its position table no token can use."""

    config: type[PreTrainedConfig]
    options: dict[str, Any]
    unused_rows: int = 0
    pad: int = 0


FAMILIES = {
    "bert": Family(BertConfig, SIZES),
    "roberta": Family(RobertaConfig, SIZES | {"type_vocab_size": 1}, unused_rows=1),
    "xlm-roberta": Family(XLMRobertaConfig, SIZES | {"type_vocab_size": 1}, unused_rows=2, pad=1),  # pads with [UNK]
    "camembert": Family(CamembertConfig, SIZES | {"type_vocab_size": 1}, unused_rows=1),
    "electra": Family(ElectraConfig, SIZES | {"embedding_size": 16}),
    "electra-narrow": Family(ElectraConfig, SIZES | {"embedding_size": 8}),
    "distilbert": Family(DistilBertConfig, {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}),
    "modernbert": Family(
        ModernBertConfig,
        SIZES
        | {"num_hidden_layers": 3, "global_attn_every_n_layers": 3, "local_attention": 8}
        | {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3},
    ),
    "deberta": Family(
        DebertaV2Config,
        SIZES
        | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8, "type_vocab_size": 0},
    ),
    "mpnet": Family(MPNetConfig, SIZES, unused_rows=2, pad=1),
    "gpt2": Family(
        GPT2Config, {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_inner": 24, "bos_token_id": 2, "eos_token_id": 3}
    ),
    "albert": Family(AlbertConfig, SIZES | {"embedding_size": 8, "bos_token_id": 2, "eos_token_id": 3}),
}
PACKED = ("bert", "roberta", "xlm-roberta", "camembert", "electra", "electra-narrow", "distilbert")
PADDED = ("modernbert", "deberta", "mpnet", "gpt2", "albert")


def config_of(kind: str, *, positions: int = POSITIONS, **options: Any) -> PreTrainedConfig:
    """A config of so many usable positions, whatever the family makes of its table."""
    family = FAMILIES[kind]
    table = {"n_positions" if kind == "gpt2" else "max_position_embeddings": positions + family.unused_rows}
    return family.config(**{"vocab_size": VOCABULARY, "pad_token_id": family.pad, **table, **family.options, **options})


def texts_of(count: int, longest: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, longest))) for _ in range(count)]


def write_classifier(folder: Path, config: PreTrainedConfig, *, max_length: int | None = None, seed: int = 1) -> Path:
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_config(config)
    return _write(folder, model, max_length)


def write_encoder(folder: Path, config: PreTrainedConfig, *, max_length: int | None = None, seed: int = 2) -> Path:
    torch.manual_seed(seed)
    return _write(folder, AutoModel.from_config(config), max_length)


def write_tuned(folder: Path, encoder: Path, *, tuned: tuple[str, ...] = (), labels: int = 3, seed: int = 3) -> Path:
    """A classifier that was trained from `encoder`: equal weights, but for those whose names hold one of `tuned`."""
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=labels, ignore_mismatched_sizes=True)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if not name.startswith(model.base_model_prefix):
                weights.normal_()
            elif any(part in name for part in tuned):
                weights.add_(torch.randn_like(weights) * 0.3)
    model.save_pretrained(folder)
    tokenizer_of(None).save_pretrained(folder)
    return folder


def write_linear(folder: Path, encoder: Path, *, labels: tuple[str, ...], seed: int = 4, width: int = 16) -> Path:
    """A copy of an encoder's folder with a tagstream head beside it."""
    torch.manual_seed(seed)
    shutil.copytree(encoder, folder, dirs_exist_ok=True)
    write_json(folder / "tagstream.json", manifest_of(labels))
    head = {"weight": torch.randn(len(labels), width) * 3, "bias": torch.randn(len(labels))}
    save_file(head, folder / "head.safetensors")
    return folder


def manifest_of(labels: tuple[str, ...] | list[str], **more: Any) -> dict[str, Any]:
    """The least that a head's `tagstream.json` says."""
    return {"format": 2, "kind": "single", "labels": list(labels), "head": "linear", **more}


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
    (folder / "1_Pooling").mkdir(exist_ok=True)
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


def change_weights(folder: Path, change: Any) -> None:
    """Have `change` alter a model's tensors in place, or take some away."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def tokenizer_of(max_length: int | None, side: str = "right") -> PreTrainedTokenizerFast:
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
    return PreTrainedTokenizerFast(tokenizer_object=backend, truncation_side=side, **names, **limit)


def _write(folder: Path, model: Any, max_length: int | None) -> Path:
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(SPREAD if weights.dim() > 1 else 1.0)
    model.save_pretrained(folder)
    tokenizer_of(max_length).save_pretrained(folder)
    return folder
