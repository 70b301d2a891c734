"""What the composition root makes of the settings."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from kafka import errors

from worker import app
from worker.errors import Stop, Unreachable
from worker.inflight import Load
from worker.kafka.failures import explained
from worker.rules import make_decoder
from worker.settings import Settings
from worker.types import Message, Record


@pytest.mark.parametrize("pattern", ["^mails-.*", "(?i)^mails-", "mails-|comments-"])
def test_a_pattern_takes_the_replay_topic_too(pattern: str) -> None:
    """Inline flags and alternatives of the user's pattern keep their meaning beside the replay topic."""
    given = {"input": {"pattern": pattern}, "dead_letter": {"replay_topic": "again.now"}}
    whole = re.compile(app._pattern(Settings.model_validate(given)) or "")
    assert whole.match("mails-de")
    assert whole.match("again.now")
    assert not whole.match("against now")
    assert not whole.match("other")


def test_a_listed_topic_is_read_beside_a_pattern_with_fields_of_its_own() -> None:
    """The list gives a topic another format than all that the pattern matches; it need not match itself."""
    one = {"topic": "tickets.v1", "format": "json", "fields": {"text": "description"}}
    settings = Settings.model_validate({"input": {"pattern": "^mails-", "format": "text", "topics": [one]}})
    whole = re.compile(app._pattern(settings) or "")
    assert whole.match("tickets.v1")
    assert not whole.match("ticketsxv1")
    decode = make_decoder(settings)
    value = b'{"description": "a text"}'
    texts = [decode(Record(topic, 0, 0, None, None, value)) for topic in ("tickets.v1", "mails-de")]
    assert [message.text for message in texts if isinstance(message, Message)] == ["a text", value.decode()]


def test_what_is_in_flight_is_bounded_by_the_slots() -> None:
    """Records, bytes and tokens: each slot holds a batch, and the metrics' limits say the same."""
    batch = {"slots": 3, "max_records": 10, "max_bytes": 1_000_000, "max_tokens": 2000}
    assert app.in_flight_limit(Settings.model_validate({"batch": batch})) == Load(3, 30, 3_000_000, 6000)


def test_a_start_waits_for_the_brokers() -> None:
    """What may pass is tried again, what the attempt gives is given; anything else ends the start."""
    answers: list[BaseException | str] = [Unreachable("not yet"), Unreachable("not yet"), "there"]

    def attempt() -> str:
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    assert app.await_kafka(attempt) == "there"
    answers.append(Stop("never"))
    with pytest.raises(Stop, match="never"):
        app.await_kafka(attempt)


@pytest.mark.parametrize(
    ("until", "suffix"),
    [
        (None, ""),
        ("end", "-until-end"),
        (datetime(2030, 1, 31, 12, tzinfo=UTC), "-until-20300131T120000"),
        (datetime(2030, 1, 31, 14, tzinfo=timezone(timedelta(hours=2))), "-until-20300131T120000"),
        (datetime(2030, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))), "-until-20300131T100000"),
        (datetime(2030, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC), "-until-20300131T120000.500000"),
    ],
    ids=["stream", "end", "utc", "same-moment", "other-moment", "half-a-second-later"],
)
def test_a_bounded_run_has_names_of_its_own(until: app.Until | None, suffix: str) -> None:
    """One for each moment, in whichever zone it is given; the stream's own group and transactional id stay its own."""
    mode = app.Mode(until)
    settings = Settings.model_validate({"kafka": {"instance_id": "worker-1"}})
    assert mode.suffix == suffix
    assert app.transactional_id(settings, mode) == f"tagstream-worker-1{suffix}"


def test_a_dynamic_worker_has_a_transactional_id_of_its_own() -> None:
    """Without `kafka.instance_id` no two processes share one, and the prefix of the ACLs holds."""
    ids = {app.transactional_id(Settings(), app.Mode(until)) for until in (None, None, "end")}
    assert len(ids) == 3
    assert all(found.startswith("tagstream-") for found in ids)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        pytest.param(errors.KafkaTimeoutError("Unable to bootstrap from ['x']"), True, id="no-bootstrap"),
        pytest.param(errors.KafkaConnectionError("reset by peer"), True, id="connection-lost-half-way"),
        pytest.param(errors.TopicAuthorizationFailedError("topic"), False, id="not-allowed"),
    ],
)
def test_a_broker_lost_half_way_through_the_start_may_come_back(error: errors.KafkaError, passes: bool) -> None:
    """A restart of the broker does not end a worker that is just starting, wherever it meets it."""
    with pytest.raises(Stop, match="Kafka") as raised, explained("Kafka at here"):
        raise error
    assert isinstance(raised.value, Unreachable) is passes
