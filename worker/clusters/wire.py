"""A table as records of a compacted topic, and back: whole versions, whatever compaction has left.

The header comes last: what came before it is valid when it is there. Keys are `table` and `table/id`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from schemas.clusters import (
    ClusterEvent,
    ClusterHeader,
    ClusterMap,
    ClusterOrder,
    ClusterRecord,
    ClusterSample,
    ClusterWord,
)
from worker.clusters.deepmap import Floats
from worker.clusters.lineage import Event
from worker.clusters.orders import Order
from worker.clusters.samples import Samples
from worker.clusters.table import Table
from worker.clusters.wordcounts import Word, Words
from worker.errors import Stop

ORDER_KEY = b"order"
MAP = "map"  # after the table's name, where an id would be

Pair = tuple[bytes, bytes | None]
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Versioned:
    """A table and the fingerprint of the encoder whose embeddings it is of."""

    table: Table
    encoder: str


def records(table: Table, encoder: str, previous: Table | None) -> list[Pair]:
    """What the topic has to be told: what has changed since `previous`, tombstones of ids that ended, the header."""
    pairs: list[Pair] = [(_key(table.name, one), _cluster(table, place)) for place, one in _changed(table, previous)]
    gone = set(previous.ids if previous else ()) - set(table.ids)
    pairs += [(_key(table.name, one), None) for one in sorted(gone)]
    pairs += _map_records(table, previous)
    header = ClusterHeader(
        table=table.name,
        version=table.version,
        encoder=encoder,
        ids=list(table.ids),
        next_id=table.next_id,
        threshold=table.threshold,
        position=table.position,
        at=_time(table.at_ms),
        map=None if table.map is None else _fingerprint(table.map),
    )
    return [*pairs, (_key(table.name), _json(header))]


def event_records(events: list[Event], table: Table, previous: Table | None) -> list[Pair]:
    """In their order; an id that has ended is called as it was in `previous`."""
    known = {**(previous.names if previous else {}), **table.names}
    return [
        (
            _key(table.name),
            _json(
                ClusterEvent(
                    table=table.name,
                    version=table.version,
                    kind=event.kind,
                    parents=list(event.parents),
                    children=list(event.children),
                    count=event.count,
                    at=_time(event.at_ms),
                    reason=event.reason,
                    names={str(one): known[one] for one in (*event.parents, *event.children) if one in known},
                )
            ),
        )
        for event in events
    ]


def event_of(value: bytes | None) -> ClusterEvent | None:
    """None for what is no event."""
    try:
        return ClusterEvent.model_validate_json(value or b"")
    except ValidationError:
        return None


def refuse_other_encoder(found: Versioned, encoder: str) -> None:
    """Raises `Stop`: cosines between embeddings of two models mean nothing."""
    if found.encoder != encoder:
        raise Stop(
            f"the cluster table {found.table.name!r} is of another encoder ({found.encoder}, here {encoder}):"
            " set clusters.encoder to that one, or give clusters.table another name"
        )


class Replica:
    """The newest whole version of one table, from its topic's records in their order."""

    def __init__(self, table: str) -> None:
        self._name = table
        self._clusters: dict[int, ClusterRecord] = {}
        self._map: Floats | None = None
        self.newest: Versioned | None = None

    def take(self, key: bytes | None, value: bytes | None) -> bool:
        """Whether there is a new version now. Records of other tables are passed over. Raises `Stop` for what a later
        version of tagstream has written.
        """
        name, _, number = (key or b"").decode("utf-8", "replace").partition("/")
        if name != self._name:
            return False
        if number:
            if number.isdecimal():
                self._note(int(number), value)
            elif number == MAP:
                self._map = None if value is None else _matrix(_read(ClusterMap, value))
            return False
        return value is not None and self._complete(_read(ClusterHeader, value))

    def _note(self, number: int, value: bytes | None) -> None:
        if value is None:
            self._clusters.pop(number, None)
        else:
            self._clusters[number] = _read(ClusterRecord, value)

    def _complete(self, header: ClusterHeader) -> bool:
        """Compaction keeps the newest record of each key: of an older version some clusters may be missing."""
        if not all(one in self._clusters and self._clusters[one].version <= header.version for one in header.ids):
            return False
        if header.map is not None and (self._map is None or _fingerprint(self._map) != header.map):
            return False
        clusters = [self._clusters[one] for one in header.ids]
        table = Table(
            name=header.table,
            version=header.version,
            ids=tuple(header.ids),
            centres=np.stack([_vector(cluster.centre) for cluster in clusters]),
            anchors=np.stack([_vector(cluster.anchor) for cluster in clusters]),
            counts=np.array([cluster.count for cluster in clusters], dtype=np.int64),
            seen=np.array([cluster.seen for cluster in clusters], dtype=np.int64),
            last_ms=np.array([_ms(cluster.last_seen_at) for cluster in clusters], dtype=np.int64),
            threshold=header.threshold,
            names={cluster.id: cluster.name for cluster in clusters if cluster.name},
            named=frozenset(cluster.id for cluster in clusters if cluster.named),
            pinned=frozenset(cluster.id for cluster in clusters if cluster.pinned),
            words={cluster.id: _words(cluster) for cluster in clusters if cluster.words_weight},
            next_id=header.next_id,
            position=header.position,
            at_ms=_ms(header.at),
            map=self._map if header.map else None,
        )
        self.newest = Versioned(table, header.encoder)
        return True


def sample_value(table: str, encoder: str, embedding: NDArray[np.float32], words: list[str], time_ms: int) -> bytes:
    """A sample as its topic holds it."""
    packed = base64.b64encode(embedding.astype("<f2").tobytes()).decode("ascii")
    return _json(ClusterSample(table=table, encoder=encoder, embedding=packed, words=words, timestamp_ms=time_ms))


def samples_of(values: list[bytes | None], offsets: list[int], table: str, encoder: str) -> Samples | None:
    """What this table's learner can learn from of some records; None where it is nothing."""
    found = [
        (
            np.frombuffer(base64.b64decode(sample.embedding), "<f2").astype(np.float32),
            sample.words,
            sample.timestamp_ms,
            offset,
        )
        for value, offset in zip(values, offsets, strict=True)
        if (sample := _sample(value)) is not None and (sample.table, sample.encoder) == (table, encoder)
    ]
    if not found:
        return None
    rows, words, times, positions = zip(*found, strict=True)
    return Samples(np.stack(rows), list(words), np.array(times, np.int64), np.array(positions, np.int64))


def order_record(table: str, order: Order) -> Pair:
    """An order as the topic of the samples holds it."""
    return ORDER_KEY, _json(ClusterOrder(table=table, kind=order.kind, ids=list(order.ids), name=order.name))


def order_of(value: bytes | None, table: str) -> Order | None:
    """What a record with the key of orders asks of this table. Raises `ValueError` where it cannot be read."""
    found = ClusterOrder.model_validate_json(value or b"")
    return Order(found.kind, tuple(found.ids), found.name) if found.table == table else None


def _sample(value: bytes | None) -> ClusterSample | None:
    """Somebody else's record teaches nothing."""
    try:
        return ClusterSample.model_validate_json(value or b"")
    except ValidationError:
        return None


def _changed(table: Table, previous: Table | None) -> Iterator[tuple[int, int]]:
    """Place and id."""
    places = {one: place for place, one in enumerate(previous.ids)} if previous else {}
    for place, one in enumerate(table.ids):
        before = places.get(one)
        if previous is None or before is None or not _same(table, place, previous, before):
            yield place, one


def _same(table: Table, place: int, previous: Table, before: int) -> bool:
    one = table.ids[place]
    return (
        table.seen[place] == previous.seen[before]
        and table.names.get(one) == previous.names.get(one)
        and _own_words(table, one) == _own_words(previous, one)
        and (one in table.named, one in table.pinned) == (one in previous.named, one in previous.pinned)
        and bool((table.centres[place] == previous.centres[before]).all())
        and bool((table.anchors[place] == previous.anchors[before]).all())
        and table.counts[place] == previous.counts[before]
        and table.last_ms[place] == previous.last_ms[before]
    )


def _own_words(table: Table, one: int) -> tuple[float, dict[str, float]]:
    """Without what other clusters have done to their scores."""
    words = table.words.get(one, Words())
    return words.weight, {word.word: word.weight for word in words.top}


def _words(cluster: ClusterRecord) -> Words:
    return Words(
        cluster.words_weight, tuple(Word(word.word, word.score, word.weight, word.everywhere) for word in cluster.words)
    )


def _map_records(table: Table, previous: Table | None) -> list[Pair]:
    """A map never changes but with a table that is fitted anew."""
    old = previous.map if previous else None
    if table.map is None:
        return [] if old is None else [(_map_key(table.name), None)]
    if old is not None and np.array_equal(table.map, old):
        return []
    packed = base64.b64encode(_half(table.map)).decode("ascii")
    return [(_map_key(table.name), _json(ClusterMap(table=table.name, matrix=packed)))]


def _matrix(found: ClusterMap) -> Floats:
    numbers = np.frombuffer(base64.b64decode(found.matrix), "<f2").astype(np.float32)
    return numbers.reshape(round(len(numbers) ** 0.5), -1)


def _fingerprint(matrix: Floats) -> str:
    return hashlib.sha256(_half(matrix)).hexdigest()[:12]


def _half(matrix: Floats) -> bytes:
    return matrix.astype("<f2").tobytes()


def _map_key(table: str) -> bytes:
    return f"{table}/{MAP}".encode()


def _cluster(table: Table, place: int) -> bytes:
    one = table.ids[place]
    words = table.words.get(one, Words())
    return _json(
        ClusterRecord(
            table=table.name,
            id=one,
            version=table.version,
            name=table.names.get(one),
            named=one in table.named,
            pinned=one in table.pinned,
            words=[ClusterWord(**word._asdict()) for word in words.top],
            words_weight=words.weight,
            centre=_packed(table.centres[place]),
            anchor=_packed(table.anchors[place]),
            count=int(table.counts[place]),
            seen=int(table.seen[place]),
            last_seen_at=_time(int(table.last_ms[place])),
        )
    )


def _read(model: type[M], value: bytes) -> M:
    try:
        return model.model_validate_json(value)
    except ValidationError as error:
        field = error.errors(include_input=False)[0]["loc"]
        raise Stop(
            f"the cluster topic holds a {model.__name__} that this version of tagstream cannot read"
            f" ({'.'.join(map(str, field)) or 'not JSON'}): update this worker, or give clusters.topic another topic"
        ) from None


def _key(table: str, number: int | None = None) -> bytes:
    return (table if number is None else f"{table}/{number}").encode("utf-8")


def _json(model: BaseModel) -> bytes:
    return model.model_dump_json().encode("utf-8")


def _packed(row: NDArray[np.float32]) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode("ascii")


def _vector(packed: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(packed), "<f4").astype(np.float32)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
