"""Each error of the client leads to one decision of the loop; `docs/delivery.md` has the same table for people."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from kafka import errors

from worker.errors import DeliveryFailed, DeliveryRefused, RecordRefused, Stop, TagstreamError, Unreachable
from worker.kafka.codecs import unreadable

REFUSED = (
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
    errors.RebalanceInProgressError,
    errors.CommitFailedError,
)
TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
FENCED = (errors.ProducerFencedError, errors.InvalidProducerEpochError)
NEVER_TAKEN = (errors.InvalidRecordError, errors.InvalidTimestampError)

# What to grant, for each kind of resource; docs/operations.md has the whole list.
GRANTS = (
    (errors.TopicAuthorizationFailedError, "topic", "Read on an input, Write on an output, Create to have it made"),
    (errors.GroupAuthorizationFailedError, "group", "Read on the groups that begin with kafka.group_id"),
    (
        errors.TransactionalIdAuthorizationFailedError,
        "transactional id",
        "Write on those that begin with delivery.transactional_id_prefix",
    ),
)


def decide(error: Exception) -> TagstreamError:
    """The decision for a failure while delivering or reading."""
    if type(error) is errors.KafkaError and isinstance(error.args[-1], errors.KafkaError):
        return decide(error.args[-1])  # a send refused because of what an earlier one met: that is the failure
    name = type(error).__name__
    if isinstance(error, errors.FencedInstanceIdError):
        return Stop("another worker has joined with this kafka.instance_id: give each worker a name of its own")
    if isinstance(error, errors.AuthorizationError):
        return denied(error)
    if isinstance(error, errors.SaslAuthenticationFailedError):
        return Stop("Kafka refused the credentials: see kafka.sasl_username and kafka.sasl_password_file")
    if isinstance(error, REFUSED):
        return DeliveryRefused(f"the group has moved on ({name})")
    if isinstance(error, TOO_LARGE):
        return RecordRefused(f"a record is larger than its topic takes ({name})", "output_too_large")
    if isinstance(error, NEVER_TAKEN):
        return RecordRefused(f"a topic does not take a record ({name})", "output_refused")
    if isinstance(error, errors.KafkaConfigurationError):
        return Stop(f"the Kafka client refuses its settings: {error}")
    if isinstance(error, errors.UnsupportedCodecError):
        return unreadable(str(error))
    if isinstance(error, FENCED):
        return DeliveryFailed(f"{name}: {error}", "fenced")
    return DeliveryFailed(f"{name}: {error}", "timed_out" if isinstance(error, errors.KafkaTimeoutError) else "other")


def check(futures: Sequence[Any], owners: Sequence[int]) -> None:
    """Look at every future of a flush; `owners` says whose each is.

    Raises the refusal of a record rather than the error of one that went down with its batch.
    """
    lost: list[tuple[int, Exception]] = []
    for owner, future in zip(owners, futures, strict=True):
        if not future.is_done:
            raise DeliveryFailed("a record is still unacknowledged after the flush")
        if future.failed():
            lost.append((owner, future.exception))
    if lost:
        raise _refusal(lost) or lost[0][1]


def _refusal(lost: Sequence[tuple[int, Exception]]) -> RecordRefused | None:
    """Names the records whose error is theirs alone; one that several share is their batch's, and names nobody."""
    decided = [(record, decide(error), id(error)) for record, error in lost]
    refused = [(record, found, error) for record, found, error in decided if isinstance(found, RecordRefused)]
    if not refused:
        return None
    first, sharing = refused[0][1], Counter(error for _, _, error in refused)
    named = (record for record, found, error in refused if sharing[error] == 1 and found.refusal == first.refusal)
    return RecordRefused(str(first), first.refusal, frozenset(named))


def denied(error: errors.AuthorizationError) -> Stop:
    """The client tells what was denied as a name, as a set of names, or not at all."""
    what, grant = next(
        ((what, grant) for kind, what, grant in GRANTS if isinstance(error, kind)),
        (type(error).__name__, "what docs/operations.md lists"),
    )
    given = error.args[0] if error.args else ""
    names = ", ".join(sorted(given)) if isinstance(given, set) else str(given).removeprefix(f"{what} ")
    return Stop(f"Kafka does not allow this user the {' '.join([what, *names.split()])}: grant {grant}")


@contextlib.contextmanager
def explained(where: str = "Kafka") -> Iterator[None]:
    """Turn a failure of the client, asking or starting, into one line: `Unreachable` where it may pass, else `Stop`."""
    try:
        yield
    except errors.AuthorizationError as error:
        raise denied(error) from error
    except errors.KafkaError as error:
        kind = Unreachable if isinstance(error, errors.RetriableError) else Stop
        raise kind(f"{where}: {_line(error)}") from error


def _line(error: errors.KafkaError) -> str:
    if "bootstrap" in str(error):
        return "cannot be reached; see that it runs, and that kafka.bootstrap and kafka.security_protocol are right"
    return f"{' '.join(str(error).split())}; `tagstream check` tries each step"
