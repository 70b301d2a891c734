"""Each error of the client leads to one decision of the loop; `docs/delivery.md` has the same table for people."""

from __future__ import annotations

from kafka import errors

from worker.errors import DeliveryFailed, DeliveryRefused, Stop, TagstreamError, TooLarge

REFUSED = (
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
    errors.RebalanceInProgressError,
    errors.CommitFailedError,
)
TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
FENCED = (errors.ProducerFencedError, errors.InvalidProducerEpochError)
TOPIC_GONE = (errors.UnknownTopicOrPartitionError,)


def decide(error: Exception) -> TagstreamError:
    """The decision for a failure while delivering or reading."""
    name = type(error).__name__
    if isinstance(error, errors.FencedInstanceIdError):
        return Stop("another worker has joined with this kafka.instance_id: give each worker a name of its own")
    if isinstance(error, errors.AuthorizationError):
        return Stop(f"Kafka does not allow it ({name}: {error}): grant the ACLs that docs/operations.md lists")
    if isinstance(error, errors.SaslAuthenticationFailedError):
        return Stop("Kafka refused the credentials: see kafka.sasl_username and kafka.sasl_password_file")
    if isinstance(error, REFUSED):
        return DeliveryRefused(f"the group has moved on ({name})")
    if isinstance(error, TOO_LARGE):
        return TooLarge(f"a record is larger than its topic takes ({name})")
    return DeliveryFailed(f"{name}: {error}")
