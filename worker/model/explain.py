"""Which words carried a label: integrated gradients from the text without any word to the text as it is.

What is divided among the words is the label's log-odds, the logarithm of p / (1 - p): of two labels the difference of
their logits, of a multi-label model the label's own. A word's part of the characters' logits comes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer

from worker.errors import SettingsError
from worker.model.decoder import read_last_token
from worker.model.folder import Kind, ModelFolder
from worker.model.loading import choose_device, load_characters, load_head, load_model, load_tokens, quiet
from worker.model.words import Words, pieces_of, words_of

STEPS = (32, 128, 512)  # of the integral: more where so many leave too much over
ALLOWED_ERROR = 0.05  # of the difference that is divided
AT_ONCE = 4096  # tokens of one pass, forward and backward
CLOSE = 1e-3  # a score from embeddings and the same one from ids; families that read ids elsewhere differ by far more
EXTRA = "explain needs captum: pip install 'tagstream[train]'"

Forward = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Word:
    """`text[start:end]` of the explained text, and what it adds to the label's log-odds."""

    text: str
    start: int
    end: int
    share: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """`log_odds` of `label`, and what they are `without` any word; the words' shares are the difference.

    They miss it by `delta`, as an integral of `steps` steps does. `text` is what the model was given; of a `truncated`
    one it has not read the end.
    """

    model: str
    revision: str
    text: str
    label: str
    scores: dict[str, float]
    log_odds: float
    without: float
    words: tuple[Word, ...]
    delta: float
    steps: int
    truncated: bool

    @property
    def error(self) -> float:
        """The part of the difference that the shares miss."""
        return abs(self.delta) / max(abs(self.log_odds - self.without), 1e-6)

    @property
    def holds(self) -> bool:
        return self.error <= ALLOWED_ERROR


@dataclass(frozen=True, slots=True)
class _Given:
    """A text as the model is to read it: ids [1, tokens], those without words, and each word's character logits.

    `places` are the tokens that belong to words; `parts` is [1, words, labels].
    """

    ids: torch.Tensor
    without: torch.Tensor
    words: Words
    places: list[int]
    parts: torch.Tensor


class Explainer:
    """Explains one classifier. Blocks for seconds; raises `SettingsError` for a model that has no labels."""

    def __init__(self, folder: ModelFolder, *, labels: Sequence[str] = (), device: str = "auto") -> None:
        """`labels` are other names for those of the model."""
        if folder.head is None:
            raise SettingsError(f"model {folder.name} has no head to explain; train one with `tagstream train`")
        self._folder = folder
        self._labels = tuple(labels) or folder.labels
        self._device = choose_device(device)
        self._model = load_model(folder, self._device, torch.float32).requires_grad_(False)
        config = self._model.config
        self._recipe, pad = load_tokens(folder, config.pad_token_id, vocabulary=int(config.vocab_size))
        if self._model.config.pad_token_id is None:
            read_last_token(self._model, pad)
        linear = folder.head == "linear"
        width = int(self._model.config.hidden_size)
        self._head = load_head(folder, width, self._device).requires_grad_(False) if linear else None
        self._characters = load_characters(folder) if linear else None
        self._backend = Tokenizer.from_str(self._recipe.backend)
        self._backend.no_padding()
        self._backend.enable_truncation(self._recipe.max_length, direction=self._recipe.side)
        mask = self._backend.token_to_id("[MASK]") or self._backend.token_to_id("<mask>")
        self._nothing = pad if mask is None else mask  # an encoder knows its mask as "some word"

    def __call__(self, text: str, label: str | None = None) -> Explanation:
        """Of `label`, else of the one with the highest score. Raises `SettingsError`."""
        if label is not None and label not in self._labels:
            raise SettingsError(f"the model has no label {label!r}; it has: {', '.join(self._labels)}")
        text = self._lowered(text)
        encoding = self._backend.encode(self._recipe.prompt + text)
        given = self._given(text, encoding)
        with quiet():  # a decoder warns that it sees no padding in embeddings: there is none
            logits = self._checked_logits(given)
            column = int(logits.argmax()) if label is None else self._labels.index(label)
            return self._explanation(text, given, logits, column, truncated=bool(encoding.overflowing))

    def _explanation(
        self, text: str, given: _Given, logits: torch.Tensor, column: int, *, truncated: bool
    ) -> Explanation:
        inputs = self._embed(given.ids), given.parts
        baselines = self._embed(given.without), torch.zeros_like(given.parts)
        forward = self._forward(column)
        per_pass = max(1, AT_ONCE // given.ids.shape[1])
        (tokens, characters), delta, steps = attribute(forward, inputs, baselines, per_pass)
        shares = characters[0].sum(dim=1)
        by_token = tokens[0].sum(dim=1)[given.places]
        shares.index_add_(0, torch.tensor(given.words.owners, device=self._device), by_token)
        spans = zip(given.words.spans, shares.tolist(), strict=True)
        scores = logits.sigmoid() if self._folder.kind == "multi" else logits.softmax(dim=0)
        return Explanation(
            model=self._folder.name,
            revision=self._folder.revision,
            text=text,
            label=self._labels[column],
            scores=dict(zip(self._labels, scores.tolist(), strict=True)),
            log_odds=float(log_odds(logits[None], column, self._folder.kind)),
            without=float(forward(*baselines)),
            words=tuple(Word(text[start:end], start, end, share) for (start, end), share in spans if end > start),
            delta=delta,
            steps=steps,
            truncated=truncated,
        )

    def _lowered(self, text: str) -> str:
        return text.lower() if self._recipe.lowercase else text

    def _given(self, text: str, encoding: Any) -> _Given:
        pieces = pieces_of(encoding, len(self._recipe.prompt))
        if not pieces:
            raise SettingsError("the text has no word that the model reads; give it some text")
        words = words_of(text, list(pieces.values()), all_of_it=self._characters is not None)
        ids = torch.tensor([encoding.ids], device=self._device)
        without = ids.clone()
        without[0, list(pieces)] = self._nothing
        return _Given(ids, without, words, list(pieces), self._parts(text, words))

    def _parts(self, text: str, words: Words) -> torch.Tensor:
        """Of the characters' logits each word's part, [1, words, labels]; zeros for a head that reads none."""
        parts = torch.zeros(1, len(words.spans), len(self._labels))
        if self._characters is not None:
            by_place = torch.from_numpy(self._characters.by_place(text))
            for i, (start, end) in enumerate(words.spans):
                parts[0, i] = by_place[start:end].sum(dim=0)
        return parts.to(self._device)

    def _checked_logits(self, given: _Given) -> torch.Tensor:
        """The text's logits, from ids; refuses a model that computes something else from their embeddings."""
        with torch.inference_mode():
            wanted = self._logits(input_ids=given.ids)[0]
            got = self._logits(inputs_embeds=self._embed(given.ids))[0]
        if not torch.allclose(wanted, got, rtol=CLOSE, atol=CLOSE):
            raise SettingsError(f"model {self._folder.name} reads more than its embeddings, and cannot be explained")
        return wanted + given.parts[0].sum(dim=0)

    def _embed(self, ids: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            embedded: torch.Tensor = self._model.get_input_embeddings()(ids)
        return embedded

    def _forward(self, column: int) -> Forward:
        """The label's log-odds [n] of embeddings [n, tokens, d] and words' character logits [n, words, labels]."""

        def forward(embeddings: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
            return log_odds(self._logits(inputs_embeds=embeddings) + parts.sum(dim=1), column, self._folder.kind)

        return forward

    def _logits(self, **of: torch.Tensor) -> torch.Tensor:
        """[n, labels] without characters, as the engine computes them."""
        (given,) = of.values()
        output = self._model(**of, attention_mask=torch.ones(given.shape[:2], dtype=torch.int64, device=given.device))
        if self._head is None:
            logits: torch.Tensor = output.logits
            return logits
        hidden = output[0]
        pools = {"mean": hidden.mean(dim=1), "cls": hidden[:, 0], "last": hidden[:, -1]}
        pooled = torch.nn.functional.normalize(pools[self._folder.pooling])
        scored: torch.Tensor = self._head(pooled)
        return scored


def attribute(forward: Forward, inputs: Pair, baselines: Pair, per_pass: int) -> tuple[Pair, float, int]:
    """What each number of the inputs adds on the way from the baselines, how far their sum is off, and the steps."""
    try:
        from captum.attr import IntegratedGradients
    except ImportError:
        raise SettingsError(EXTRA) from None
    with torch.no_grad():
        wanted = float(forward(*inputs) - forward(*baselines))
    for steps in STEPS:
        found, missed = IntegratedGradients(forward).attribute(
            inputs, baselines, n_steps=steps, internal_batch_size=per_pass, return_convergence_delta=True
        )
        delta = float(missed)
        if abs(delta) <= ALLOWED_ERROR / 5 * abs(wanted):
            break
    first, second = (part.detach().float() for part in found)
    return (first, second), delta, steps


def log_odds(logits: torch.Tensor, column: int, kind: Kind) -> torch.Tensor:
    """Of a label against all others, [n] of [n, labels]."""
    if kind == "multi":
        return logits[:, column]
    others = torch.cat([logits[:, :column], logits[:, column + 1 :]], dim=1)
    return logits[:, column] - others.logsumexp(dim=1)
