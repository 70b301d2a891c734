"""The settings model: what it takes, what it refuses, and that every option explains itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from worker.settings import InputSettings, Settings


def _refusal(**sections: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as raised:
        Settings.model_validate(sections)
    return raised.value.errors()[0]["msg"].removeprefix("Value error, ")


DISORDER = [
    pytest.param(
        {"kafka": {"request_timeout_s": 20}},
        "kafka.request_timeout_s (20) must be less than delivery.delivery_timeout_s (20)",
        id="request-delivery",
    ),
    pytest.param(
        {"delivery": {"delivery_timeout_s": 31}},
        "delivery.delivery_timeout_s (31) must be less than delivery.transaction_timeout_s (30)",
        id="delivery-transaction",
    ),
    pytest.param(
        {"delivery": {"transaction_timeout_s": 60}},
        "delivery.transaction_timeout_s (60) must be less than kafka.session_timeout_s (45)",
        id="transaction-session",
    ),
    pytest.param(
        {"delivery": {"drain_timeout_s": 45}},
        "delivery.drain_timeout_s must be less than kafka.session_timeout_s",
        id="drain-session",
    ),
]


@pytest.mark.parametrize(("sections", "expected"), DISORDER)
def test_timeouts_that_would_overtake_each_other_are_refused(sections: dict[str, Any], expected: str) -> None:
    """A request ends before its delivery, that before its transaction, and that before the session."""
    assert _refusal(**sections) == expected


def test_timeouts_may_all_be_moved_together() -> None:
    """Only the order counts, not the values."""
    moved = {"delivery_timeout_s": 2, "transaction_timeout_s": 3, "drain_timeout_s": 3.5}
    assert (
        Settings.model_validate(
            {"kafka": {"request_timeout_s": 1, "session_timeout_s": 4}, "delivery": moved}
        ).delivery.delivery_timeout_s
        == 2
    )


LOOPS = [
    pytest.param({"input": {"topics": ["tagged"]}}, "tagged", id="default-output"),
    pytest.param({"input": {"topics": ["in", "dead-letters"]}}, "dead-letters", id="dead-letters"),
    pytest.param({"input": {"topics": ["in"]}, "policy": {"routes": {"spam": "in"}}}, "in", id="route"),
    pytest.param({"input": {"topics": ["in"]}, "policy": {"review": {"topic": "in"}}}, "in", id="review"),
    pytest.param({"input": {"pattern": "tag.*"}}, "tagged", id="pattern"),
    pytest.param({"input": {"pattern": "comments|.*-letters"}}, "dead-letters", id="pattern-dead-letters"),
    pytest.param({"dead_letter": {"replay_topic": "tagged"}}, "tagged", id="replay-topic"),
    pytest.param({"dead_letter": {"replay_topic": "dead-letters"}}, "dead-letters", id="replay-is-dead-letters"),
]


@pytest.mark.parametrize(("sections", "topic"), LOOPS)
def test_a_topic_that_is_written_cannot_be_read(sections: dict[str, Any], topic: str) -> None:
    """A worker that reads what it writes never ends."""
    assert _refusal(**sections) == f"topic '{topic}' is written and read: a worker must not read its own results"


@pytest.mark.parametrize("name", ["in", "fbs", "tagged", "dead-letters", "again"])
def test_corrections_have_a_topic_of_their_own(name: str) -> None:
    """One that the worker reads, by name or by pattern, or writes, is refused."""
    read = {"input": {"topics": ["in"], "pattern": "fb.*"}, "dead_letter": {"replay_topic": "again"}}
    assert _refusal(**read, feedback={"topic": name}).startswith("feedback.topic must be a topic of its own")
    assert Settings.model_validate({**read, "feedback": {"topic": "corrections"}}).reads("fb-1")


def test_topics_by_name_or_by_mapping() -> None:
    """A name is enough; a mapping adds what differs for that topic."""
    mails = {"topic": "mails", "format": "mail"}
    forum = {"topic": "forum", "fields": {"text": "post.body"}}
    topics = Settings.model_validate({"input": {"topics": ["comments", mails, forum]}}).input.topics
    assert [t.topic for t in topics] == ["comments", "mails", "forum"]
    assert [t.format for t in topics] == [None, "mail", None]
    assert topics[2].fields is not None
    assert topics[2].fields.text == "post.body"


def test_a_pattern_has_to_be_one() -> None:
    """It is compiled before anything is read."""
    assert _refusal(input={"pattern": "("}).startswith("is not a regular expression: ")


def test_the_replay_topic_is_an_input_and_outputs_come_once() -> None:
    """What is read includes the replay topic; what is written is each topic once, results first."""
    found = Settings.model_validate(
        {
            "input": {"topics": ["in"]},
            "dead_letter": {"replay_topic": "again"},
            "policy": {"routes": {"spam": "junk", "scam": "junk", "ham": "tagged"}, "review": {"topic": "unsure"}},
        }
    )
    assert found.input_topics() == ("in", "again")
    assert found.output_topics() == ("tagged", "junk", "unsure", "dead-letters")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0, -1])
def test_a_time_is_a_positive_number(value: float) -> None:
    """Not a number, infinity, zero and less are no times."""
    assert _refusal(batch={"target_s": value})


def _sections(model: type[BaseModel], path: str) -> Iterator[tuple[str, FieldInfo]]:
    """Every field below a section, and whether it is a section itself."""
    for name, field in model.model_fields.items():
        place = f"{path}.{name}" if path else name
        yield place, field
        for candidate in (field.annotation, *get_args(field.annotation)):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                yield from _sections(candidate, place)


# Inside of a list, or of a section that is off by default.
REQUIRED = {
    "input.topics.topic",
    "policy.review.topic",
    "model.classifiers.name",
    "model.classifiers.path",
    "model.zero_shot.name",
    "model.zero_shot.labels",
    "model.shadow.path",
}
FIELDS = dict(_sections(Settings, ""))


def test_every_option_has_a_default() -> None:
    """No setting is needed for a start; only what is pointless without a name asks for one."""
    assert {place for place, field in FIELDS.items() if field.is_required()} == REQUIRED


@pytest.mark.parametrize("place", [place for place in FIELDS if "." in place])
def test_every_option_explains_itself(place: str) -> None:
    """CLI help, the docs page and the checks take their words from the description: it ends with a full stop."""
    description = FIELDS[place].description
    if description is not None or not _is_section(FIELDS[place]):
        assert description
        assert description[-1] in ".!"


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_section_says_what_it_is_about(name: str) -> None:
    """Each section of the file has a docstring of its own."""
    section = Settings.model_fields[name].annotation
    assert isinstance(section, type)
    assert section.__doc__


def test_settings_cannot_be_changed() -> None:
    """What was read once stays as it is."""
    with pytest.raises(ValidationError):
        InputSettings().start = "latest"
