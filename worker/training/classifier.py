"""A stock sequence classifier around its training: what it starts from, which layers learn, its last layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModelForSequenceClassification

from worker.errors import SettingsError
from worker.model.folder import ModelFolder
from worker.model.loading import quiet
from worker.model.network import LAYERS
from worker.training.corpus import Kind
from worker.training.linear import Part, fit
from worker.training.progress import Silence

Numbers = NDArray[np.float32]


def label_order(folder: ModelFolder, labels: Sequence[str], kind: Kind) -> tuple[str, ...]:
    """That of the base where it is a classifier of the same labels, whose head is then trained on; else as given."""
    return folder.labels if _continues(folder, labels, kind) else tuple(labels)


def load_classifier(folder: ModelFolder, labels: Sequence[str], kind: Kind) -> tuple[Any, bool]:
    """The model in float32, and whether its head has learned these labels already.

    A new head is random, by torch's seed. Raises `SettingsError` for a base that does not load.
    """
    names = dict(enumerate(labels))
    try:
        with quiet():
            model, report = AutoModelForSequenceClassification.from_pretrained(
                folder.encoder,
                dtype=torch.float32,
                num_labels=len(labels),
                id2label=names,
                label2id={label: place for place, label in names.items()},
                problem_type="multi_label_classification" if kind == "multi" else "single_label_classification",
                ignore_mismatched_sizes=True,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:  # a damaged or unknown model fails in any of a hundred ways
        first = (str(error).strip().splitlines() or [""])[0]
        raise SettingsError(f"model {folder.encoder} does not load as a classifier: {first}") from None
    _refuse_missing(folder, model, report["missing_keys"])
    continues = _continues(folder, labels, kind)
    if not continues:
        _reset(last_linear(model))
    return model, continues


def layers_of(folder: ModelFolder) -> int:
    return int(_config(folder).num_hidden_layers)


def can_freeze(folder: ModelFolder) -> bool:
    """Whether top:N can be had of it."""
    return _config(folder).model_type in LAYERS


def refuse_layers(folder: ModelFolder, top: int) -> None:
    """Raises `SettingsError` where the base has no such layers, or they cannot be trained alone; loads no weights."""
    config = _config(folder)
    _refuse_layers(config.model_type, int(config.num_hidden_layers), top)


def train_only_top(model: Any, top: int | None) -> None:
    """Freeze the embeddings and all but the `top` uppermost layers; None freezes nothing. Raises `SettingsError`."""
    if top is None:
        return
    base, kind = model.base_model, model.config.model_type
    layers = base.get_submodule(LAYERS[kind]) if kind in LAYERS else ()
    _refuse_layers(kind, len(layers), top)
    below = [getattr(base, name) for name in ("embeddings", "embeddings_project") if hasattr(base, name)]
    for module in (*below, *layers[: len(layers) - top]):
        module.requires_grad_(False)


def last_linear(model: Any) -> torch.nn.Linear:
    """The layer that gives the logits. Raises `SettingsError` where there is none."""
    inside = f"{model.base_model_prefix}."
    found = [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module.out_features == model.config.num_labels
        and not name.startswith(inside)
    ]
    if not found:
        raise SettingsError(f"models of type {model.config.model_type} have no linear head; choose another base")
    return found[-1]


def warm_head(model: Any, batches: Iterable[dict[str, torch.Tensor]], kind: Kind, *, balanced: bool, seed: int) -> None:
    """Fit the last layer on what it is given by the untrained rest, by logistic regression.

    From a random one the first steps of a training would pull at the layers below to no purpose. Heads that see all
    tokens instead of one row a text are left as they are.
    """
    head = last_linear(model)
    features, targets = _features(model, head, batches)
    if features is None:
        return
    truth = targets > 0 if kind == "multi" else targets[:, None] == np.arange(head.out_features)
    if not truth.any(axis=0).all():  # of a label without texts there is nothing to be fitted
        return
    scale = float(np.linalg.norm(features, axis=1).mean()) or 1.0  # the fit's strength is for rows of unit length
    part = Part(features / scale, truth)
    fitted = fit(kind, part, None, balanced=balanced, seed=seed, progress=Silence())
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(fitted.weight / scale))
        head.bias.copy_(torch.from_numpy(fitted.bias))


@torch.no_grad()
def soften(model: Any, temperature: float) -> None:
    """Divide all logits by the temperature from now on."""
    head = last_linear(model)
    head.weight.div_(temperature)
    if head.bias is not None:
        head.bias.div_(temperature)


def _refuse_layers(kind: str, layers: int, top: int) -> None:
    if kind not in LAYERS:
        raise SettingsError(f"top:{top} is for {', '.join(LAYERS)}; a {kind} trains as a whole: full")
    if not 1 <= top <= layers:
        raise SettingsError(f"top:{top}: the model has {layers} layers; choose from 1 to {layers}")


def _config(folder: ModelFolder) -> Any:
    return AutoConfig.from_pretrained(folder.encoder, local_files_only=True, trust_remote_code=False)


def _continues(folder: ModelFolder, labels: Sequence[str], kind: Kind) -> bool:
    return folder.head == "stock" and folder.kind == kind and set(folder.labels) == set(labels)


def _refuse_missing(folder: ModelFolder, model: Any, missing: Iterable[str]) -> None:
    """A new head is random, and an encoder's pooler may be; nothing else."""
    inside = f"{model.base_model_prefix}."
    lost = sorted(key for key in missing if key.startswith(inside) and not key.startswith(f"{inside}pooler."))
    if lost:
        raise SettingsError(
            f"model {folder.encoder} lacks {len(lost)} weights, e.g. {lost[0]}; take a whole checkpoint"
        )


def _reset(head: torch.nn.Linear) -> None:
    torch.nn.init.normal_(head.weight, std=0.02)
    if head.bias is not None:
        torch.nn.init.zeros_(head.bias)


@torch.no_grad()
def _features(
    model: Any, head: torch.nn.Linear, batches: Iterable[dict[str, torch.Tensor]]
) -> tuple[Numbers | None, NDArray[Any]]:
    """What the head is given, [texts, d], and the targets; None where that is no row a text."""
    seen: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda module, args: seen.append(args[0].float().cpu()))
    targets = []
    model.eval()
    try:
        for batch in batches:
            given = {name: column.to(model.device) for name, column in batch.items()}
            targets.append(given.pop("labels").cpu())
            model(**given)
            if seen[-1].dim() != 2 or head.bias is None:
                return None, np.zeros(0)
    finally:
        hook.remove()
    return torch.cat(seen).numpy(), torch.cat(targets).numpy()
