"""The engine: one forward pass gives the scores and the embedding of each text.

Texts are sorted by length and run in padded micro-batches under a token budget; results come back in their order.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from worker.errors import SettingsError, Stop
from worker.model.batching import Rows, micro_batches
from worker.model.folder import ModelFolder, Pooling, read_folder, rename_labels
from worker.model.loading import choose_device, choose_dtype, load_head, load_model, load_tokens
from worker.model.threads import cpu_threads
from worker.model.tokens import Tokens
from worker.types import Classifier, Predictions, Tokenized

log = structlog.get_logger(__name__)

LONGEST_PROBE = 1024  # tokens; beyond the usual position tables, and seconds at most on a CPU


def load_engine(
    *,
    path: str,
    name: str = "default",
    labels: Mapping[str, str] | None = None,
    device: str = "auto",
    dtype: str = "auto",
    max_batch_tokens: int = 2048,
    allow_download: bool = False,
    threads: int = 0,
) -> TransformersEngine:
    """Read and load a model; the arguments are the settings `model.*`. Blocks for seconds. Raises `SettingsError`.

    `threads` (0: the CPU quota) is torch's number for one operation, for the whole process.
    """
    folder = read_folder(path, allow_download=allow_download)
    renamed = replace(folder, labels=rename_labels(folder.labels, labels or {}))
    return engine_of(renamed, name=name, device=device, dtype=dtype, max_batch_tokens=max_batch_tokens, threads=threads)


def engine_of(
    folder: ModelFolder,
    *,
    name: str = "default",
    device: str = "auto",
    dtype: str = "auto",
    max_batch_tokens: int = 2048,
    threads: int = 0,
) -> TransformersEngine:
    """Load a model that was read already; as `load_engine`."""
    torch.set_num_threads(threads or cpu_threads())
    place = choose_device(device)
    model = load_model(folder, place, choose_dtype(dtype, place))
    tokens, pad = load_tokens(folder, model.config.pad_token_id)
    forward = Forward(model=model, pooling=folder.pooling, head=None, pad=pad, multi=folder.kind == "multi")
    if folder.head == "linear":
        forward.head = load_head(folder, forward.width, place)
    classifier = Classifier(name, folder.kind, folder.labels, folder.name, folder.revision)
    engine = TransformersEngine(
        classifiers=() if folder.head is None else (classifier,),
        tokens=tokens,
        forward=forward,
        max_batch_tokens=_whole_budget(max_batch_tokens, folder.max_length),
    )
    _probe(engine, folder)
    return engine


def _probe(engine: TransformersEngine, folder: ModelFolder) -> None:
    """Run a short and a long text, so that a model that cannot work refuses to start instead of failing each text."""
    tokenized = engine.tokenize(["a", "a " * min(folder.max_length, LONGEST_PROBE)])
    problems = [*tokenized.errors.values(), *engine.infer(tokenized).failed.values()]
    if problems:
        raise SettingsError(f"model {folder.root} fails on a trial text ({problems[0]}); choose another model")


class Forward:
    """The model on one padded micro-batch. The infer thread only.

    `head` is tagstream's own on the embedding; without one the scores are those of the model's stock head, if any.
    """

    def __init__(self, *, model: Any, pooling: Pooling, head: torch.nn.Linear | None, pad: int, multi: bool) -> None:
        self.head = head
        self._model = model
        self._pooling = pooling
        self._pad = pad
        self._multi = multi
        self._hidden = torch.empty(0)
        # The stock head's own call runs the base model; the hook keeps what the embedding is pooled from.
        model.base_model.register_forward_hook(self._keep_hidden)

    @property
    def place(self) -> tuple[str, str]:
        """Device and dtype of the weights."""
        return str(self._model.device), str(self._model.dtype).removeprefix("torch.")

    @property
    def width(self) -> int:
        return int(self._model.config.hidden_size)

    @torch.inference_mode()
    def __call__(self, ids: Sequence[NDArray[np.int32]]) -> tuple[NDArray[np.float32] | None, NDArray[np.float32]]:
        """Scores [n, labels], if there is a head, and embeddings [n, d]."""
        tokens, mask = self._padded(ids)
        output = self._model(input_ids=tokens, attention_mask=mask)
        embeddings = torch.nn.functional.normalize(_pool(self._hidden.float(), mask, self._pooling))
        logits = self.head(embeddings) if self.head else getattr(output, "logits", None)
        return None if logits is None else self._scores(logits), embeddings.cpu().numpy()

    def _scores(self, logits: torch.Tensor) -> NDArray[np.float32]:
        exact = logits.float()
        scores = torch.sigmoid(exact) if self._multi else torch.softmax(exact, dim=-1)
        return np.asarray(scores.cpu().numpy())

    def _padded(self, ids: Sequence[NDArray[np.int32]]) -> tuple[torch.Tensor, torch.Tensor]:
        shape = len(ids), max(len(row) for row in ids)
        tokens, mask = np.full(shape, self._pad, np.int64), np.zeros(shape, np.int64)
        for i, row in enumerate(ids):
            tokens[i, : len(row)] = row
            mask[i, : len(row)] = 1
        device = self._model.device
        return torch.from_numpy(tokens).to(device), torch.from_numpy(mask).to(device)

    def _keep_hidden(self, module: Any, args: Any, output: Any) -> None:
        self._hidden = output[0]


class TransformersEngine:
    """`types.Engine` on a transformers model."""

    def __init__(
        self, *, classifiers: tuple[Classifier, ...], tokens: Tokens, forward: Forward, max_batch_tokens: int
    ) -> None:
        self._classifiers = classifiers
        self._forward = forward
        self._max_batch_tokens = max_batch_tokens
        self._tokens = tokens

    @property
    def classifiers(self) -> tuple[Classifier, ...]:
        return self._classifiers

    @property
    def place(self) -> tuple[str, str]:
        return self._forward.place

    def tokenize(self, texts: Sequence[str]) -> Tokenized:
        return self._tokens(texts)

    def infer(self, tokenized: Tokenized) -> Predictions:
        """As the Protocol says; raises `Stop` when the device itself has failed."""
        started_s = time.perf_counter()
        whole = np.flatnonzero([row is not None for row in tokenized.ids])
        batches = [whole[rows] for rows in micro_batches(tokenized.lengths[whole], self._max_batch_tokens)]
        results = _Results.empty(len(tokenized.ids), self._classifiers, self._forward.width)
        for rows in batches:
            self._compute(rows, tokenized.ids, results)
        return Predictions(
            classifiers=self._classifiers,
            scores=results.scores,
            embeddings=results.embeddings,
            forward_s=time.perf_counter() - started_s,
            padding_share=_padding_share(batches, tokenized.lengths),
            failed=results.failed,
        )

    def _compute(self, rows: Rows, ids: Sequence[Any], results: _Results) -> None:
        """Compute one micro-batch into its rows; where it fails, halve it, down to the text that is to blame."""
        if self._attempt(rows, ids, results):
            return
        torch.cuda.empty_cache()  # outside the handler, whose traceback keeps the failed attempt's memory
        for half in np.array_split(rows, 2) if len(rows) > 1 else ():
            self._compute(half, ids, results)

    def _attempt(self, rows: Rows, ids: Sequence[Any], results: _Results) -> bool:
        try:
            results.put(rows, *self._forward([ids[row] for row in rows]))
        except torch.AcceleratorError as error:  # the device is unusable from here on: no text is to blame
            raise Stop(f"the model's device failed ({type(error).__name__}); start the worker again") from error
        except Exception as error:
            kind = type(error).__name__  # never the error's own text, which may quote the message
            log.warning("forward_failed", texts=len(rows), error=kind)
            if len(rows) == 1:
                results.failed[int(rows[0])] = f"forward pass: {kind}"
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Results:
    """What `infer` gathers, in the order of the texts; zeros where there is nothing."""

    scores: tuple[NDArray[np.float32], ...]
    embeddings: NDArray[np.float32]
    failed: dict[int, str]

    @classmethod
    def empty(cls, count: int, classifiers: Sequence[Classifier], width: int) -> _Results:
        scores = tuple(np.zeros((count, len(c.labels)), np.float32) for c in classifiers)
        return cls(scores, np.zeros((count, width), np.float32), {})

    def put(self, rows: Rows, scores: NDArray[np.float32] | None, embeddings: NDArray[np.float32]) -> None:
        """Fill rows. A number that is none (half precision can overflow) is its text's failure."""
        finite = np.isfinite(embeddings).all(axis=1)
        if scores is not None:
            finite &= np.isfinite(scores).all(axis=1)
            for column in self.scores:
                column[rows[finite]] = scores[finite]
        self.embeddings[rows[finite]] = embeddings[finite]
        self.failed.update((int(row), "forward pass: not a finite number") for row in rows[~finite])


def _pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """[n, tokens, d] → [n, d]; padding is on the right."""
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "last":
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(dim=1) - 1]
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def _padding_share(batches: Sequence[Rows], lengths: NDArray[np.int32]) -> float:
    """The part of all computed tokens that is padding."""
    computed = sum(len(rows) * int(lengths[rows[0]]) for rows in batches)  # the longest text comes first
    return 1.0 - sum(int(lengths[rows].sum()) for rows in batches) / computed if computed else 0.0


def _whole_budget(max_batch_tokens: int, max_length: int) -> int:
    """A budget that holds the model's longest text, which otherwise would never fit."""
    if max_batch_tokens >= max_length:
        return max_batch_tokens
    log.warning("batch_budget_raised", setting="model.max_batch_tokens", configured=max_batch_tokens, used=max_length)
    return max_length
