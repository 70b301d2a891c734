"""Loading a model's weights and tokenizer: whole, on the right device, or refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from worker.errors import SettingsError
from worker.model.characters import BUCKETS, CharacterLogits
from worker.model.folder import HEAD_WEIGHTS, ModelFolder
from worker.model.tokens import TokensRecipe

# In a head's file, beside weight and bias. Change the name with the n-grams: weights for others do not fit then.
CHARACTERS = "ngrams"
# Not weights: tables and masks that older checkpoints have kept beside them.
BUFFERS = (".position_ids", ".token_type_ids", ".attn.bias", ".attn.masked_bias", ".attention.bias", ".inv_freq")
AMPERE = 8  # the first CUDA generation that computes bfloat16 itself


def choose_device(wanted: str) -> torch.device:
    """`auto` is CUDA if there is one. Raises `SettingsError`."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingsError(f"model.device {wanted}: torch sees {torch.cuda.device_count()} CUDA devices; use auto")
    return device


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """`auto` is float32 on the CPU, where the halves are slow, and the best half that a CUDA card computes."""
    if wanted == "int8":
        if device.type != "cpu":
            raise SettingsError("model.dtype int8 is for CPUs; use auto on a card, which takes bfloat16 or float16")
        return torch.float32  # it is compared and packed in full, then quantised
    if wanted != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[wanted]
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= AMPERE else torch.float16


def compute_in_full() -> None:
    """Float32 means float32 on a card too: TF32 keeps ten bits of it. For the whole process."""
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.fp32_precision = "ieee"


def load_model(folder: ModelFolder, device: torch.device, dtype: torch.dtype) -> Any:
    """The transformers model, ready for inference. Raises `SettingsError` if a weight is missing or left out."""
    kind = AutoModelForSequenceClassification if folder.head == "stock" else AutoModel
    try:
        with quiet():
            model, report = kind.from_pretrained(
                folder.encoder,
                dtype=dtype,  # else a checkpoint in float16 stays so
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:  # a damaged or unknown model fails in any of a hundred ways
        raise SettingsError(f"model {folder.encoder} does not load: {_first_line(error)}") from None
    _refuse_missing(folder, report["missing_keys"])
    _refuse_dropped(folder, model, report["unexpected_keys"])
    return model.to(device).eval()


def load_tokens(
    folder: ModelFolder, pad_token_id: int | None, overlap: int | None = None, *, vocabulary: int | None = None
) -> tuple[TokensRecipe, int]:
    """The tokenizer, and the id to pad with: the model's own where it has one, as positions may depend on it.

    Raises `SettingsError`, also where an id has no place in the model's `vocabulary`.
    """
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder.encoder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise SettingsError(f"the tokenizer of {folder.encoder} does not load: {_first_line(error)}") from None
    if not getattr(tokenizer, "is_fast", False):
        raise SettingsError(f"model {folder.encoder} has no fast tokenizer; save it as tokenizer.json")
    wanted = (pad_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id, 0)  # decoders often have no first two
    pad = next(token for token in wanted if token is not None)
    backend = tokenizer.backend_tokenizer
    backend.no_padding()  # what a training or a tokenizer.json wants of either is not ours, and no difference
    backend.no_truncation()
    highest = max(backend.get_vocab(with_added_tokens=True).values(), default=0)
    if vocabulary is not None and highest >= vocabulary:
        raise SettingsError(
            f"the tokenizer of {folder.encoder} has ids up to {highest}, the model's embeddings are for {vocabulary};"
            " take the tokenizer that belongs to it, or save both after resize_token_embeddings(len(tokenizer))"
        )
    if any(backend.encode("a").type_ids):
        raise SettingsError(f"model {folder.encoder} numbers its segments from 1, which is not supported")
    recipe = TokensRecipe(
        backend=backend.to_str(),
        max_length=folder.max_length,
        side=tokenizer.truncation_side,
        prompt=folder.prompt,
        lowercase=folder.lowercase,
        overlap=overlap,
    )
    return recipe, pad


def load_head(folder: ModelFolder, width: int, device: torch.device) -> torch.nn.Linear:
    """tagstream's own head in float32, on embeddings of `width`. Raises `SettingsError`."""
    count = len(folder.labels)
    expected = {"weight": (count, width), "bias": (count,)}
    if _reads_characters(folder):
        expected[CHARACTERS] = (count, BUCKETS)
    state = _head_state(folder)
    if {name: tuple(tensor.shape) for name, tensor in state.items()} != expected:
        raise SettingsError(f"{folder.root / HEAD_WEIGHTS} does not fit its labels and encoder; train the head again")
    head = torch.nn.Linear(width, count)
    head.load_state_dict({name: state[name] for name in ("weight", "bias")})
    return head.to(device).eval()


def load_characters(folder: ModelFolder) -> CharacterLogits | None:
    """The part for characters of a head that `load_head` has loaded, if it has one."""
    return CharacterLogits(_head_state(folder)[CHARACTERS].float().numpy()) if _reads_characters(folder) else None


def _reads_characters(folder: ModelFolder) -> bool:
    return folder.manifest is not None and folder.manifest.features == "embedding+characters"


def _head_state(folder: ModelFolder) -> dict[str, torch.Tensor]:
    try:
        state: dict[str, torch.Tensor] = load_file(folder.root / HEAD_WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise SettingsError(f"{folder.root / HEAD_WEIGHTS} does not load: {_first_line(error)}") from None
    return state


def _refuse_missing(folder: ModelFolder, missing: set[str]) -> None:
    """A weight that is not in the checkpoint would be random. An encoder's pooler is not used: we pool ourselves."""
    lost = sorted(key for key in missing if folder.head == "stock" or not key.startswith("pooler."))
    if lost:
        raise SettingsError(
            f"model {folder.encoder} lacks {len(lost)} weights, e.g. {lost[0]}; take a whole checkpoint"
        )


def _refuse_dropped(folder: ModelFolder, model: Any, unexpected: set[str]) -> None:
    """A weight of the base that the class has no place for would be left out; other heads than ours may be."""
    base = model.base_model
    parts = {name for name, _ in base.named_children()} - {"pooler"}
    prefix = f"{model.base_model_prefix}."
    lost = sorted(
        key for key in unexpected if key.removeprefix(prefix).partition(".")[0] in parts and not key.endswith(BUFFERS)
    )
    if lost:
        raise SettingsError(
            f"model {folder.encoder} has {len(lost)} weights that its class does not use, e.g. {lost[0]}; save it again"
            " as a model that transformers computes whole"
        )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and load reports on stderr: what matters of them we say ourselves."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        transformers_logging.disable_default_handler()  # it would print past the process's own logging
        transformers_logging.enable_propagation()
        if bars:
            transformers_logging.enable_progress_bar()
