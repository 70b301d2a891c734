"""What is known of each partition, and that nothing is known of one that has gone."""

from __future__ import annotations

from typing import Any

from worker.kafka.input import Lag
from worker.kafka.lags import Lags
from worker.kafka.positions import Placement
from worker.types import Partition

P0, P1 = Partition("in", 0), Partition("in", 1)


class Consumer:
    """One that stands behind the last marker."""

    def __init__(self, position: int) -> None:
        self._position = position

    def position(self, partition: Any, timeout_ms: float) -> int:
        return self._position

    def highwater(self, partition: Any) -> int:
        return self._position


def _placed(*partitions: Partition) -> Lags:
    lags = Lags()
    lags.place(Placement(dict.fromkeys(partitions, 3), dict.fromkeys(partitions, 10), frozenset(), {}))
    return lags


def test_a_partition_that_has_gone_stays_away() -> None:
    """Field report 7: what the poll thread learns of it after the revocation brings its lag back in no way."""
    lags = _placed(P0)
    lags.clear()
    lags.read(P0, Lag(5, 10, 10))
    lags.skip_to(P0, 6)
    lags.note_stable_ends({P0: 12})
    assert lags.behind_markers(Consumer(7)) == {}
    assert lags.now() == {}
    assert lags.quiet_since_s() == 0


def test_a_partition_that_goes_while_it_is_looked_at_stays_away() -> None:
    """A rebalance in the client's thread between the look at the markers and the note of it."""
    lags = _placed(P0)

    class Revoking(Consumer):
        def highwater(self, partition: Any) -> int:
            lags.clear()
            return 7

    lags.behind_markers(Revoking(7))
    assert lags.now() == {}


def test_lags_follow_what_is_read_and_what_is_asked() -> None:
    """Position, end and stable end move with what was read, skipped, passed and asked for."""
    lags = _placed(P0, P1)
    lags.read(P0, Lag(5, 10, 10, 1000))
    assert lags.behind_markers(Consumer(4)) == {P1: 4}  # the other one is not quiet yet
    lags.skip_to(P0, 8)
    lags.note_stable_ends({P0: 9, P1: 12})
    assert lags.now() == {P0: Lag(8, 10, 9, 1000), P1: Lag(4, 12, 12)}
