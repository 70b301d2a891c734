"""A recipe made an engine: folders read, models loaded once each, equal layers shared, packing probed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson
import structlog
import torch

from worker.errors import SettingsError
from worker.model.attention import register
from worker.model.budget import Budget, choose_tokens
from worker.model.decoder import read_last_token
from worker.model.engine import TransformersEngine
from worker.model.folder import OFFSET_POSITIONS, ModelFolder, read_folder, rename_labels
from worker.model.inputs import TokenIds
from worker.model.lane import EMBEDDING, Columns, Lane, Reading, Step
from worker.model.loading import (
    choose_device,
    choose_dtype,
    compute_in_full,
    load_characters,
    load_head,
    load_model,
    load_tokens,
)
from worker.model.losses import Example, answers, loss_of, read_examples
from worker.model.network import Network, common_layers, fingerprint
from worker.model.offer import Offer
from worker.model.probe import compared_length, settle, stock_columns, trial_rows
from worker.model.quantized import to_int8
from worker.model.recipe import ClassifierRecipe, EngineRecipe
from worker.model.threads import cpu_threads
from worker.model.tokens import TokensRecipe
from worker.model.zero_shot import with_zero_shot
from worker.types import Classifier, EnginePart

OWN_BASE = "embeddings are those of the classifier's own layers; a retrained one changes them, so name an encoder"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A folder's network, what is read off it, and its tokenizer."""

    folder: ModelFolder
    step: Step
    tokens: TokensRecipe
    pad: int


def load_engine(recipe: EngineRecipe) -> TransformersEngine:
    """Blocks for seconds. Raises `SettingsError`."""
    examples = read_examples(recipe.evaluation) if recipe.dtype == "int8" else []
    encoder, folders = _folders(recipe)
    named = [(w.name, folder) for w, folder in zip(recipe.classifiers, folders, strict=True) if folder.head]
    bare = _engine(recipe, encoder, named)
    engine = with_zero_shot(bare, recipe.zero_shot)
    return _in_int8(bare, engine, recipe, examples) if recipe.dtype == "int8" else engine


def _in_int8(
    bare: TransformersEngine, engine: TransformersEngine, recipe: EngineRecipe, examples: Sequence[Example]
) -> TransformersEngine:
    """The engine again, quantised, with what that costs; its prototypes of zero-shot labels are made anew."""
    before = answers(engine, examples)
    to_int8(bare)
    lower = with_zero_shot(bare, recipe.zero_shot)
    lower.offer = replace(lower.offer, loss=loss_of(before, answers(lower, examples), lower, examples))
    return lower


def encoder_of(recipe: EngineRecipe) -> ModelFolder:
    """What gives the embeddings, without a head. Raises `SettingsError`."""
    return _folders(recipe)[0].without_head()


def engine_of(folder: ModelFolder, recipe: EngineRecipe) -> TransformersEngine:
    """An encoder that was read already, alone."""
    return _engine(recipe, folder, [])


def _folders(recipe: EngineRecipe) -> tuple[ModelFolder, list[ModelFolder]]:
    """Of the encoder and of each classifier; the base that the first classifier stands on is the default encoder."""
    classifiers = [_folder_of(wanted, recipe) for wanted in recipe.classifiers]
    for wanted, folder in list(zip(recipe.classifiers, classifiers, strict=True))[1:]:
        if folder.head is None:
            raise SettingsError(
                f"classifier {wanted.name} ({wanted.path}) has no head; train one with `tagstream train`"
            )
    if recipe.encoder is not None:
        return read_folder(recipe.encoder, allow_download=recipe.allow_download).without_head(), classifiers
    if not classifiers:
        raise SettingsError("no model: name one with model.path")
    return _default_encoder(classifiers[0], lasting=recipe.lasting), classifiers


def _default_encoder(classifier: ModelFolder, *, lasting: bool) -> ModelFolder:
    """What a classifier was trained from, where it is still there; else what it stands on, which it may be anyway."""
    own = classifier.without_head()
    origin = classifier.manifest.encoder if classifier.manifest is not None else None
    if origin is None or not lasting or own.revision == origin.revision:
        return own
    try:
        base = read_folder(origin.path or origin.name).without_head()
    except SettingsError as error:
        log.warning("base_not_found", base=origin.name, reason=str(error), action=OWN_BASE)
        return own
    if base.revision != origin.revision:
        log.warning("base_has_changed", base=origin.name, trained_from=origin.revision, found=base.revision)
        return own
    return base


def _folder_of(wanted: ClassifierRecipe, recipe: EngineRecipe) -> ModelFolder:
    folder = read_folder(wanted.path, allow_download=recipe.allow_download)
    return replace(folder, labels=rename_labels(folder.labels, wanted.labels))


def _engine(recipe: EngineRecipe, encoder: ModelFolder, named: Sequence[tuple[str, ModelFolder]]) -> TransformersEngine:
    torch.set_num_threads(recipe.threads or cpu_threads())
    compute_in_full()
    register()
    device = choose_device(recipe.device)
    dtype = choose_dtype(recipe.dtype, device)
    loaded = [_load(group, recipe, device, dtype) for group in _by_model(encoder, named)]
    encoding = fingerprint(loaded[0].step.network, encoder.pooling, orjson.dumps(loaded[0].tokens).decode())
    tokens = list(dict.fromkeys(one.tokens for one in loaded))
    lanes, parts = _lanes(loaded, tokens)
    heads = {name: load_characters(folder) for name, folder in named if folder.head == "linear"}
    characters = {name: head for name, head in heads.items() if head is not None}
    offer = Offer(
        classifiers=tuple(_described(name, folder) for name, folder in named),
        encoder=encoding,
        place=(str(device), str(loaded[0].step.network.dtype).removeprefix("torch.")),
        parts=parts,
        width=loaded[0].step.network.width,
        tokens=tuple(tokens),
        characters=tuple(characters),
    )
    budget = Budget(choose_tokens(recipe.max_batch_tokens, lanes, device))
    return TransformersEngine(
        offer=offer,
        lanes=lanes,
        budget=budget,
        window_pooling=recipe.windows.pooling,
        characters=characters,
    )


def _described(name: str, folder: ModelFolder) -> Classifier:
    """Thresholds go by the names that the labels have here."""
    thresholds: dict[str, float] = {}
    if folder.manifest is not None:
        known = zip(folder.manifest.labels, folder.labels, strict=True)
        thresholds = {now: folder.manifest.thresholds[was] for was, now in known if was in folder.manifest.thresholds}
    return Classifier(name, folder.kind, folder.labels, folder.name, folder.revision, thresholds)


def _by_model(encoder: ModelFolder, named: Sequence[tuple[str, ModelFolder]]) -> list[list[tuple[str, ModelFolder]]]:
    """What stands on the same directory loads once; the encoder first, as the others grow out of it."""
    groups: dict[object, list[tuple[str, ModelFolder]]] = {}
    for name, folder in ((EMBEDDING, encoder), *named):
        key = folder.encoder.resolve(), folder.prompt, folder.max_length, folder.lowercase
        groups.setdefault(key, []).append((name, folder))
    return list(groups.values())


def _load(
    group: Sequence[tuple[str, ModelFolder]], recipe: EngineRecipe, device: torch.device, dtype: torch.dtype
) -> Loaded:
    folder = next((folder for _, folder in group if folder.head == "stock"), group[0][1])
    network = Network(load_model(folder, device, dtype))
    config = network.model.config
    rows = network.vocabulary
    tokens, pad = load_tokens(folder, config.pad_token_id, recipe.windows.overlap, vocabulary=rows)
    if config.pad_token_id is None:
        read_last_token(network.model, pad)
    readings = tuple(_reading(name, member, network.width, device) for name, member in group)
    return Loaded(folder, Step(network, tuple(r for r in readings if r is not None)), tokens, pad)


def _reading(name: str, folder: ModelFolder, width: int, device: torch.device) -> Reading | None:
    if name == EMBEDDING:
        return Reading(name, folder.pooling)
    if folder.head is None:
        return None
    head = load_head(folder, width, device) if folder.head == "linear" else None
    return Reading(name, folder.pooling, head=head, stock=folder.head == "stock")


def _lanes(loaded: Sequence[Loaded], tokens: Sequence[TokensRecipe]) -> tuple[list[Lane], tuple[EnginePart, ...]]:
    """Plan by comparing whole models, then cut them: what each stock model gives has been noted before."""
    rows = [_trial_rows(one) for one in loaded]
    expected = [stock_columns(one.step, r, one.pad) for one, r in zip(loaded, rows, strict=True)]
    plan = [_donor(i, loaded) for i in range(len(loaded))]
    roots = [_root(i, plan) for i in range(len(loaded))]
    for one, (donor, depth) in zip(loaded, plan, strict=True):
        if donor is not None:
            one.step.network.graft(loaded[donor].step.network, depth)
    lanes, reasons = [], {}
    for root in sorted(set(roots)):
        members = [i for i, its in enumerate(roots) if its == root]
        lane = _lane([loaded[i] for i in members], tokens.index(loaded[root].tokens))
        wanted: Columns = {name: column for i in members for name, column in expected[i].items()}
        reasons[root] = settle(lane, rows[root], wanted)
        lanes.append(lane)
    parts = tuple(_part(one, reasons[root]) for one, root in zip(loaded, roots, strict=True))
    return lanes, parts


def _trial_rows(one: Loaded) -> list[TokenIds]:
    network, longest = one.step.network, one.folder.max_length
    return trial_rows(network.vocabulary, longest, one.pad, alone=compared_length(network, longest))


def _donor(index: int, loaded: Sequence[Loaded]) -> tuple[int | None, int]:
    """Which of the networks before has most layers in common, and how many. Equal ids are needed as well."""
    one = loaded[index]
    best: tuple[int | None, int] = (None, 0)
    for i, other in enumerate(loaded[:index]):
        if other.tokens == one.tokens and other.pad == one.pad:
            common = common_layers(other.step.network, one.step.network)
            best = (i, common) if common > best[1] else best
    return best


def _root(index: int, plan: Sequence[tuple[int | None, int]]) -> int:
    donor = plan[index][0]
    return index if donor is None else _root(donor, plan)


def _lane(members: Sequence[Loaded], tokens: int) -> Lane:
    first = members[0]
    offset = first.step.network.model.config.model_type in OFFSET_POSITIONS
    return Lane(
        steps=[one.step for one in members],
        tokens=tokens,
        longest=first.folder.max_length,
        pad=first.pad,
        first_position=first.pad + 1 if offset else 0,
    )


def _part(one: Loaded, why_padded: str | None) -> EnginePart:
    network = one.step.network
    part = EnginePart(
        names=tuple(reading.name or "encoder" for reading in one.step.readings),
        model=one.folder.name,
        layers=network.layers,
        computed=network.layers - network.depth,
        packed=why_padded is None,
        why_padded=why_padded or "",
    )
    log.info("model_part", names=part.names, layers=part.layers, computed=part.computed, packed=part.packed)
    return part
