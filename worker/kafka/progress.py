"""Which offsets of a partition have been dealt with, in any order, kept inside a consumer group's committed offset.

A committed offset alone cannot say "all up to here, and those further on". Kafka stores a short text beside it: there
goes a bitmap of what lies beyond.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Collection
from dataclasses import dataclass

MAX_METADATA = 4096  # the broker's default offset.metadata.max.bytes; room for 26,000 offsets in the worst order
VERSION = "1:"


class TooScattered(ValueError):
    """What was dealt with lies too far beyond the first offset that was not."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Everything below `next` is done, and so is every offset in `beyond`, all of which are above `next`."""

    next: int = 0
    beyond: frozenset[int] = frozenset()

    def __contains__(self, offset: int) -> bool:
        return offset < self.next or offset in self.beyond

    def after(self, start: int, stop: int, left: Collection[int]) -> Progress:
        """With the offsets from `start` to before `stop` done, `left` excepted; gaps in the log count as done."""
        done = self.beyond | (frozenset(range(start, stop)) - frozenset(left))
        return Progress(self.next, done)._settled()

    def from_start(self, first: int) -> Progress:
        """With everything below `first`, which retention has taken away, done."""
        return Progress(max(self.next, first), self.beyond)._settled()

    def encode(self) -> str:
        """The text beside the offset `next`. Raises `TooScattered` if it is more than Kafka keeps."""
        if not self.beyond:
            return ""
        bits = sum(1 << (offset - self.next) for offset in self.beyond)
        packed = zlib.compress(bits.to_bytes((bits.bit_length() + 7) // 8, "little"), 9)
        text = VERSION + base64.b85encode(packed).decode()
        if len(text) > MAX_METADATA:
            raise TooScattered(f"{len(text)} bytes of progress, {MAX_METADATA} at most")
        return text

    @classmethod
    def decode(cls, offset: int, text: str | None) -> Progress:
        """The reverse of `encode`; a text that is not ours, such as another tool's, counts as empty."""
        if not text or not text.startswith(VERSION):
            return cls(offset)
        bits = int.from_bytes(zlib.decompress(base64.b85decode(text.removeprefix(VERSION))), "little")
        return cls(offset, frozenset(offset + place for place in range(bits.bit_length()) if bits >> place & 1))

    def _settled(self) -> Progress:
        reached = self.next
        while reached in self.beyond:
            reached += 1
        return Progress(reached, frozenset(offset for offset in self.beyond if offset > reached))
