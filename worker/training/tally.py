"""What was left out while reading labelled data, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Reason = Literal["empty_text", "no_label", "unreadable", "conflicting_labels", "duplicate_across_splits", "not_sampled"]


@dataclass(slots=True)
class Tally:
    """Counts of rows dropped, by reason, and of lines in no expected charset, by what they were read as.

    `first_unreadable` says where and why, never what the row holds.
    """

    dropped: Counter[Reason] = field(default_factory=Counter)
    charsets: Counter[str] = field(default_factory=Counter)
    first_unreadable: str | None = None

    def unreadable(self, why: str) -> None:
        self.dropped["unreadable"] += 1
        self.first_unreadable = self.first_unreadable or why

    def lines(self) -> Iterator[str]:
        """What a person may want to act upon."""
        for charset, count in sorted(self.charsets.items()):
            yield f"not in the expected charset, read as {charset}: {count} lines; name their charset if that is wrong"
        if self.first_unreadable:
            yield f"the first row that cannot be read: {self.first_unreadable}"
