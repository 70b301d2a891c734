"""Dead letters read back, and their originals put on the replay topic, each once, in transactions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata, TopicPartition

from schemas import Reason, headers
from worker.errors import DeliveryFailed, RecordRefused, Stop
from worker.kafka.client import commit_transaction, discard, flush, send_offsets
from worker.kafka.failures import check, decide, explained
from worker.kafka.progress import Progress, TooScattered
from worker.kafka.reading import Reader
from worker.types import Output, Partition, Record

ERROR_PREFIX = headers.PREFIX + "error-"


@dataclass(frozen=True, slots=True)
class DeadLetterRecord:
    """A record of the dead-letter topic and what its headers say."""

    record: Record

    def header(self, name: str) -> str | None:
        for key, value in self.record.headers:
            if key == name and value is not None:
                return value.decode("utf-8", "replace")
        return None

    @property
    def reason(self) -> str | None:
        return self.header(headers.ERROR_REASON)

    @property
    def source(self) -> str:
        names = (headers.SOURCE_TOPIC, headers.SOURCE_PARTITION, headers.SOURCE_OFFSET)
        topic, partition, offset = (self.header(name) or "?" for name in names)
        return f"{topic}[{partition}]@{offset}"

    @property
    def replays(self) -> int:
        return _number(self.header(headers.REPLAYS)) or 0

    @property
    def time(self) -> datetime | None:
        """When it failed; where the header is missing, the record's own time."""
        try:
            told = datetime.fromisoformat(self.header(headers.ERROR_TIME) or "")
        except ValueError:
            stamp = self.record.timestamp_ms
            return None if stamp is None else datetime.fromtimestamp(stamp / 1000, UTC)
        return told if told.tzinfo else told.replace(tzinfo=UTC)

    def obstacle(self, max_replays: int) -> str | None:
        """Why it has to stay; None if it can be replayed."""
        if self.reason is None:
            return "not_a_dead_letter"
        if self.header(headers.ERROR_VALUE_SIZE) is not None:
            return "value_left_out"
        if self.reason == Reason.CORRUPT_BATCH:
            return "no_original"
        return "max_replays" if self.replays >= max_replays else None

    def original(self, topic: str, partitions: int) -> Output:
        """The record as it was, to be read from `topic`; its own coordinates and id stay in its headers.

        Source partitions stay apart, so that their order is kept. The time is new: retention counts from now.
        """
        record, source = self.record, _number(self.header(headers.SOURCE_PARTITION))
        null = self.header(headers.ERROR_NULL_VALUE) is not None
        kept = [(key, value or b"") for key, value in record.headers if _is_kept(key)]
        if null and record.key is None:  # the client cannot send a record of neither, so the marker says it again
            null, kept = False, [*kept, (headers.ERROR_NULL_VALUE, b"1")]
        return Output(
            topic=topic,
            value=None if null else record.value if record.value is not None else b"",
            key=record.key,
            headers=(*kept, (headers.REPLAYS, str(self.replays + 1).encode())),
            partition=None if source is None else source % partitions,
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters; what is not given does not narrow it. `since` is included, `until` is not."""

    reasons: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    partition: int | None = None
    offset: int | None = None

    def matches(self, letter: DeadLetterRecord) -> bool:
        record, time = letter.record, letter.time
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.since is None or (time is not None and time >= self.since))
            and (self.until is None or (time is not None and time < self.until))
            and (self.partition is None or record.partition == self.partition)
            and (self.offset is None or record.offset == self.offset)
        )

    def spans(self, found: Mapping[Partition, tuple[int, int]]) -> dict[Partition, tuple[int, int]]:
        """The parts of the topic that have to be read."""
        chosen = {p: span for p, span in found.items() if self.partition in (None, p.partition)}
        if self.offset is None:
            return chosen
        return {p: (max(first, self.offset), min(end, self.offset + 1)) for p, (first, end) in chosen.items()}


@dataclass(slots=True)
class Report:
    """What a replay did, or with `--dry-run` would do. Counts of records."""

    replayed: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    already_replayed: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "replayed": self.replayed.total(),
            "replayed_by_reason": dict(self.replayed),
            "kept": dict(self.kept),
            "already_replayed": self.already_replayed,
        }


@dataclass(frozen=True, slots=True)
class Stretch:
    """Offsets of one partition from `first` to before `stop`; those in `left` are not to be replayed now."""

    partition: Partition
    first: int
    stop: int
    left: frozenset[int]

    def added_to(self, progress: Progress) -> Progress:
        return progress.after(self.first, self.stop, self.left)

    def leaving(self, letters: Iterable[DeadLetterRecord]) -> Stretch:
        return replace(self, left=self.left | {letter.record.offset for letter in letters})

    def cut(self, offset: int) -> tuple[Stretch, Stretch]:
        return replace(self, stop=offset), replace(self, first=offset)


def dead_letters(reader: Reader, topic: str, selection: Selection) -> Iterator[DeadLetterRecord]:
    """Those selected among the dead letters that are there now."""
    spans = selection.spans(reader.spans(reader.partitions([topic])))
    starts, ends = _split(spans)
    for piece in reader.read(starts, ends):
        yield from (letter for letter in map(DeadLetterRecord, piece) if selection.matches(letter))


class Replay:
    """Puts originals on the replay topic. What was replayed is remembered in the offsets of a group of its own.

    `make_producer` gives a producer with a transactional id that all replays of this group share: the newest fences the
    others. Without it (`None`) nothing is written. `reader` belongs to the group.
    """

    def __init__(
        self,
        *,
        reader: Reader,
        make_producer: Callable[[], KafkaProducer] | None,
        group_id: str,
        topic: str,
        replay_topic: str,
        max_replays: int,
        timeout_s: float,
    ) -> None:
        self._reader = reader
        self._make_producer = make_producer
        self._group_id = group_id
        self._topic = topic
        self._replay_topic = replay_topic
        self._max_replays = max_replays
        self._timeout_s = timeout_s
        self._producer: KafkaProducer | None = None
        self.report = Report()

    def run(self, selection: Selection) -> Report:
        """Replay what is selected and there now. Raises `Stop`; running it again goes on where it stopped."""
        partitions = len(self._reader.partitions([self._replay_topic]))
        found = self._reader.spans(self._reader.partitions([self._topic]))
        try:
            self._renew()  # before progress is read: settles what a predecessor left open
            for partition, span in selection.spans(found).items():
                progress = self._progress(partition).from_start(found[partition][0])
                self._replay_partition(partition, span, progress, selection, partitions)
        finally:
            self._discard()
        return self.report

    def _renew(self) -> None:
        """A producer in a good state, which aborts what the one before it has left open."""
        self._discard()
        if self._make_producer is not None:
            with explained():
                self._producer = self._make_producer()
                self._producer.init_transactions()

    def _discard(self) -> None:
        if self._producer is not None:
            discard(self._producer)
            self._producer = None

    def _replay_partition(
        self, partition: Partition, span: tuple[int, int], progress: Progress, selection: Selection, partitions: int
    ) -> None:
        first, end = max(span[0], progress.next), span[1]
        if selection.offset is not None and first >= end > span[0]:
            self.report.already_replayed += 1
        for piece in self._reader.read({partition: first}, {partition: end}):
            chosen = self._choose(piece, progress, selection)
            stop = piece[-1].offset + 1
            sent = {letter.record.offset for letter in chosen}
            left = frozenset(r.offset for r in piece if r.offset not in sent)
            progress = self._put_back(chosen, Stretch(partition, first, stop, left), progress, partitions)
            first = stop

    def _choose(self, piece: Sequence[Record], progress: Progress, selection: Selection) -> list[DeadLetterRecord]:
        chosen: list[DeadLetterRecord] = []
        for letter in filter(selection.matches, map(DeadLetterRecord, piece)):
            obstacle = letter.obstacle(self._max_replays)
            if letter.record.offset in progress:
                self.report.already_replayed += 1
            elif obstacle is not None:
                self.report.kept[obstacle] += 1
            else:
                chosen.append(letter)
        return chosen

    def _put_back(
        self, chosen: Sequence[DeadLetterRecord], stretch: Stretch, before: Progress, partitions: int
    ) -> Progress:
        """The chosen in one transaction. What the replay topic refuses stays, and holds up no other.

        Where it is not known which of them is refused, halves are put back one after the other.
        """
        progress = stretch.added_to(before)
        if not chosen:
            return progress
        try:
            self._deliver(
                [letter.original(self._replay_topic, partitions) for letter in chosen], stretch.partition, progress
            )
        except RecordRefused as refused:
            self._renew()
            known = refused.records or (frozenset({0}) if len(chosen) == 1 else frozenset())
            if known:
                self.report.kept[refused.refusal.removeprefix("output_")] += len(known)
                rest = [letter for place, letter in enumerate(chosen) if place not in known]
                return self._put_back(rest, stretch.leaving(chosen[p] for p in known), before, partitions)
            half = len(chosen) // 2
            head, tail = stretch.cut(chosen[half].record.offset)
            before = self._put_back(chosen[:half], head, before, partitions)
            return self._put_back(chosen[half:], tail, before, partitions)
        self.report.replayed.update(letter.reason or "" for letter in chosen)
        return progress

    def _deliver(self, outputs: Sequence[Output], partition: Partition, progress: Progress) -> None:
        """Originals and progress in one transaction.

        1 begin, 2 send, 3 flush and check every future, 4 progress, 5 commit. Raises `RecordRefused` and `Stop`.
        """
        offsets = {TopicPartition(*partition): OffsetAndMetadata(progress.next, _encoded(progress), -1)}
        if self._producer is None:
            return
        try:
            self._producer.begin_transaction()  # 1
            futures = [_send(self._producer, output) for output in outputs]  # 2
            flush(self._producer, self._timeout_s)  # 3
            check(futures, range(len(futures)))
            send_offsets(self._producer, offsets, self._group_id, self._timeout_s)  # 4
            commit_transaction(self._producer, self._timeout_s)  # 5
        except (KafkaError, DeliveryFailed) as error:
            raise _decided(error, f"{partition.topic}[{partition.partition}]@{progress.next}") from error

    def _progress(self, partition: Partition) -> Progress:
        with explained():
            found = self._reader.consumer.committed(TopicPartition(*partition), metadata=True)
        return Progress() if found is None else Progress.decode(found.offset, found.metadata)


def _send(producer: KafkaProducer, output: Output) -> Any:
    return producer.send(
        output.topic, value=output.value, key=output.key, headers=list(output.headers), partition=output.partition
    )


def _decided(error: KafkaError | DeliveryFailed, where: str) -> Exception:
    """A refusal as it is; of anything else, why the replay has to stop."""
    decision = error if isinstance(error, DeliveryFailed) else decide(error)
    if isinstance(decision, RecordRefused | Stop):
        return decision
    fenced = isinstance(decision, DeliveryFailed) and decision.reason == "fenced"
    why = "another replay of this group has begun" if fenced else str(decision)
    return Stop(f"replay stopped at {where}: {why}; run it again, nothing is replayed twice")


def _encoded(progress: Progress) -> str:
    try:
        return progress.encode()
    except TooScattered as error:
        raise Stop(f"too many older dead letters were left out ({error}): replay those first, or all of them") from None


def _is_kept(name: str) -> bool:
    return not name.startswith(ERROR_PREFIX) and name != headers.REPLAYS


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _split(spans: Mapping[Partition, tuple[int, int]]) -> tuple[dict[Partition, int], dict[Partition, int]]:
    return {p: first for p, (first, _) in spans.items()}, {p: end for p, (_, end) in spans.items()}
