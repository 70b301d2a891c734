"""What can go wrong, as one small tree: each class is one decision of the loop.

TagstreamError
├── SettingsError            the call or the settings are wrong: exit 2
├── Skip                     this record: a dead letter, the rest of the batch goes on
├── TooSlow                  these texts together: cut the batch in two, each half goes on by itself
├── DeliveryFailed           try again: fresh producer, rewind to the committed offsets
│   ├── DeliveryRefused      the group has moved on: as above, but only after the membership changed
│   └── RecordRefused        a topic does not take a record of this outcome: cut it in two
└── Stop                     nothing we can do: exit 1, one line that says what and what to do
    ├── Unreachable          no broker answers: a command ends, a worker that starts waits
    └── Stalled              no progress within a deadline: exit 1, the supervisor starts us again
"""

from typing import Literal

# What a topic has against a record; also the reason of the dead letter that the record becomes.
Refusal = Literal["output_too_large", "output_refused"]
AbortReason = Literal["fenced", "refused", "timed_out", "output_too_large", "output_refused", "revoked", "other"]


class TagstreamError(Exception):
    """The root; its text is one line for people: what, where, what to do. Never the text of a message."""


class SettingsError(TagstreamError):
    """The call or the settings are wrong."""


class Skip(TagstreamError):
    """This record cannot be tagged. `reason` is one of `schemas.Reason`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class TooSlow(TagstreamError):
    """A pass over several texts took longer than is allowed for one; a text for which that is so alone is `failed`."""


class DeliveryFailed(TagstreamError):
    """Nothing of the outcome counts; deliver it again after recovery. `reason` is for the metrics."""

    reason: AbortReason = "other"

    def __init__(self, detail: str, reason: AbortReason | None = None) -> None:
        super().__init__(detail)
        self.reason = reason or self.reason


class DeliveryRefused(DeliveryFailed):
    """The broker refused the batch's generation or member: the partitions may be somebody else's."""

    reason = "refused"


class RecordRefused(DeliveryFailed):
    """A topic does not take at least one record of the outcome, however often it is sent.

    `refusal` says why; `records` are those of which it is known, by their place in the outcome.
    """

    def __init__(self, detail: str, refusal: Refusal, records: frozenset[int] = frozenset()) -> None:
        super().__init__(detail, refusal)
        self.refusal = refusal
        self.records = records


class Stop(TagstreamError):
    """The worker must end."""


class Unreachable(Stop):
    """No broker answers. A command ends with it; a worker that starts waits."""


class Stalled(Stop):
    """No progress although there was work."""
