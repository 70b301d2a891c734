"""The values that flow through the pipeline, and the Protocols of the parts that it drives.

A batch moves whole through the stages: `Batch` → `Prepared` → `Predictions` and `Assignments` → `Outcome`.
Every value is frozen; a stage makes a new one. What there is one of for each record is a named tuple: it is made in a
third of the time that a frozen dataclass takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Partition(NamedTuple):
    """A topic partition; equal to, and usable as a key for, kafka-python's `TopicPartition`."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


class Header(NamedTuple):
    """A record header; Kafka allows a null value."""

    key: str
    value: bytes | None


class Record(NamedTuple):
    """One consumed record, bytes as they came. `timestamp_ms` is None where the record has none (-1).

    With `damaged_to` it stands for a batch that failed its checksum, from `offset` up to that offset.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int | None
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()
    damaged_to: int | None = None

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"

    @property
    def size(self) -> int:
        """Bytes of value, key and headers (characters of their names), as limits and metrics count them."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers) if self.headers else 0
        return len(self.value or b"") + len(self.key or b"") + headers


@dataclass(frozen=True, slots=True)
class Batch:
    """A contiguous span of offsets per partition, with the offsets that its transaction will commit.

    `offsets` is the next offset to read of each partition, transaction markers included; a batch without records only
    commits positions. `fence` is what the source needs back to prove that the partitions were its own (the consumer
    group's metadata at the poll); `epoch` is the source's: a batch of an older epoch must not be delivered.
    `topic_ids` are kept beside the committed offsets: a topic that was deleted and made again has another one.
    """

    records: tuple[Record, ...]
    offsets: Mapping[Partition, int]
    epoch: int = 0
    fence: Any = None
    topic_ids: Mapping[str, str] = field(default_factory=dict)

    def cut(self, index: int) -> tuple[Batch, Batch]:
        """Split before `records[index]` into two batches that commit the same offsets, one after the other."""
        head, tail = self.records[:index], self.records[index:]
        reached = {Partition(r.topic, r.partition): r.offset + 1 for r in head}
        remaining = {Partition(r.topic, r.partition) for r in tail}
        first = {p: reached[p] if p in remaining else self.offsets[p] for p in reached}
        rest = {p: offset for p, offset in self.offsets.items() if p not in reached or p in remaining}
        return replace(self, records=head, offsets=first), replace(self, records=tail, offsets=rest)


class Origin(NamedTuple):
    """Where a message first came from; differs from its record's coordinates only on a replay."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int | None


class Message(NamedTuple):
    """A decoded, validated record: what the model is to read, and what the result has to say of its source.

    `charset` is what the bytes were read as; `charset_guessed` says that it was not declared, or declared wrongly.
    `replays` counts how often the record has come back from the dead-letter topic. `timestamp` is when the text was
    written, as its sender says; the record's own is in `origin`. `original` is the text as it was sent, where what the
    model is to read was made of it.
    """

    id: str
    origin: Origin
    text: str
    language: str | None = None
    metadata: Mapping[str, Any] | None = None
    charset: str = "utf-8"
    charset_guessed: bool = False
    replays: int = 0
    timestamp: datetime | None = None
    original: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be tagged: `reason` is one of `schemas.Reason`, `detail` one line without any text."""

    stage: Literal["decode", "prepare", "infer", "deliver"]
    reason: str
    detail: str
    replays: int = 0
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that the settings say to pass over (a tombstone, a blank text): counted, no output."""

    reason: str


@dataclass(frozen=True, slots=True)
class Passed:
    """A record that the settings say to send on as it is (a tombstone for compacted outputs)."""

    reason: str


Decoded = Message | DeadLetter | Dropped | Passed


@dataclass(frozen=True, slots=True)
class Tokenized:
    """Token ids of n texts, special tokens included, as the engine wants them.

    `ids[i]` is None where text i could not be tokenised (`errors[i]` says why, without text). `windows[i]` is the
    number of rows of a forward pass that text i takes; `truncated[i]`: the model does not see its end. `generation`
    is for engines that can be changed while running: the one that made the ids has to compute them. `added`, by
    classifier, float32 [n, labels], is what a head reads off the texts themselves, to be added to its logits.
    """

    ids: Sequence[Any]
    lengths: NDArray[np.int32]
    windows: NDArray[np.int32]
    truncated: NDArray[np.bool_]
    errors: Mapping[int, str] = field(default_factory=dict)
    generation: int = 0
    added: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Classifier:
    """What a classifier says of itself. `kind`: `single` softmax over labels, `multi` independent sigmoids.

    `thresholds` are the model's own, of some labels: below it a label of `single` is unsure, one of `multi` not given.
    """

    name: str
    kind: Literal["single", "multi"]
    labels: tuple[str, ...]
    model: str
    revision: str
    thresholds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Predictions:
    """What one pass gives for n texts, in the order of the texts.

    `scores[c]` is float32 [n, labels of classifier c], probabilities; `embeddings` float32 [n, d], L2-normalised.
    `forward_s` and `padding_share` describe the pass; `failed[i]` says why text i could not be computed.
    """

    classifiers: tuple[Classifier, ...]
    scores: tuple[NDArray[np.float32], ...]
    embeddings: NDArray[np.float32]
    forward_s: float = 0.0
    padding_share: float = 0.0
    failed: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assignments:
    """Clusters of n texts under one version of a table. `ids[i]` is None for `unassigned`.

    `similarity` is the cosine to the own (or nearest) centre, float32 [n]. `names` maps each id in use to its name.
    """

    table: str
    version: int
    ids: Sequence[int | None]
    similarity: NDArray[np.float32]
    names: Mapping[int, str]


class Output(NamedTuple):
    """A record to produce. `partition` None lets the partitioner decide by key."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch decoded and tokenised. `decoded` is aligned with `batch.records`; `tokenized` with the messages in it."""

    batch: Batch
    decoded: tuple[Decoded, ...]
    tokenized: Tokenized

    @property
    def messages(self) -> list[Message]:
        return [d for d in self.decoded if isinstance(d, Message)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch's transaction holds: for each record its outputs, and behind them the batch's offsets.

    `extras` are of no record: where the batch is cut they go with its first part.
    """

    batch: Batch
    outputs: tuple[tuple[Output, ...], ...]
    extras: tuple[Output, ...] = ()

    def cut(self, index: int) -> tuple[Outcome, Outcome]:
        first, rest = self.batch.cut(index)
        return Outcome(first, self.outputs[:index], self.extras), Outcome(rest, self.outputs[index:])


class Source(Protocol):
    """Where batches come from. Called by the poll thread only, unless a verb says otherwise."""

    @property
    def epoch(self) -> int:
        """The current epoch; a batch of an older one is stale. Any thread."""

    @property
    def exhausted(self) -> bool:
        """There will be no more batches: a bounded input has been read to its end."""

    def poll(self, timeout_s: float, max_records: int) -> Batch | None:
        """The next batch, or None. Blocks up to `timeout_s`, longer in a rebalance. Raises `Stop`."""

    def idle(self) -> None:
        """Keep the membership alive while the pipe is full: never returns records, never blocks."""

    def suspend(self) -> None:
        """Make all that was handed out stale, and hand out nothing until `rewind`. Any thread."""

    def rewind(self, refused: Batch | None = None) -> None:
        """Start again at the committed offsets. Any thread.

        `refused` is a batch whose fence the broker refused: then nothing is polled until the membership has changed.
        """

    def close(self) -> None:
        """Leave the group. Bounded; never raises."""


class Delivery(Protocol):
    """Where outcomes go. Called by the deliver thread only."""

    def deliver(self, outcome: Outcome) -> None:
        """All outputs and the offsets, or nothing. Blocks, bounded. Raises `DeliveryFailed` or `Stop`."""

    def recover(self) -> None:
        """Make ready again after a failure; blocks until the destination can be reached, or the worker is stopping.

        Raises `Stop`.
        """

    def close(self) -> None:
        """Bounded; never raises."""


@dataclass(frozen=True, slots=True)
class EnginePart:
    """One model of an engine. Of its `layers`, `computed` run for it alone; the rest is another part's work.

    `names` are the classifiers that read it, and `encoder`. `why_padded` is empty where its texts are packed.
    """

    names: tuple[str, ...]
    model: str
    layers: int
    computed: int
    packed: bool
    why_padded: str


@dataclass(frozen=True, slots=True)
class PrecisionLoss:
    """What a lower precision costs on `texts` of the user's own evaluation set.

    The accuracies are of the first classifier, in float32 and as it is used. `agreement` is the share of texts to
    which every classifier still gives the same label; `cosine` the mean one of the embeddings with those in float32.
    """

    texts: int
    accuracy_float32: float
    accuracy: float
    agreement: float
    cosine: float


class Engine(Protocol):
    """One model or several. `tokenize` runs in the prepare thread, `infer` in the infer thread, at the same time."""

    @property
    def classifiers(self) -> tuple[Classifier, ...]: ...

    @property
    def place(self) -> tuple[str, str]:
        """Device and dtype, as torch names them."""

    @property
    def encoder(self) -> str:
        """Fingerprint of what gives the embeddings: those of another one must not be compared with them."""

    @property
    def parts(self) -> tuple[EnginePart, ...]:
        """What it is made of, and what of that is shared."""

    def tokenize(self, texts: Sequence[str]) -> Tokenized:
        """Never raises for a text: what cannot be tokenised is in `errors`."""

    def infer(self, tokenized: Tokenized) -> Predictions:
        """One pass over all texts that have ids, results in the order of the texts. Any batch size, 0 included.

        May raise `TooSlow` for several texts: then each part of them is to be tried by itself.
        """

    def close(self) -> None:
        """Give back what it holds. Bounded; never raises; no other verb may be running."""


@dataclass(frozen=True, slots=True)
class ClusterSummary:
    """A cluster table for people: samples seen and name by id; `left_out` counts samples that were not learned."""

    table: str
    version: int
    sizes: Mapping[int, int]
    names: Mapping[int, str]
    left_out: int


class Clusters(Protocol):
    """One cluster table. `assign` is pure; `learn` returns nothing."""

    def summary(self) -> ClusterSummary | None:
        """The newest table, or None where clusters are switched off. Any thread."""

    def assign(self, embeddings: NDArray[np.float32]) -> Assignments:
        """Clusters of float32 [n, d] unit rows under the newest table. The infer thread; never blocks."""

    def samples(
        self, embeddings: NDArray[np.float32], texts: Sequence[str], times_ms: Sequence[int | None]
    ) -> tuple[Output, ...]:
        """What the batch's transaction takes to the learner. The deliver thread; never blocks."""

    def learn(self, embeddings: NDArray[np.float32], texts: Sequence[str], times_ms: Sequence[int | None]) -> None:
        """Offer samples of a delivered batch, with the times of their records. The deliver thread; never blocks, may
        leave samples out.
        """

    def close(self) -> None: ...


Decode = Callable[[Record], Decoded]
