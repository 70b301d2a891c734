"""One whole pass of a worker around the fake engine, through the settings that a user writes, on names of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import fields

from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from pydantic import SecretStr

from tests.doubles import FakeEngine
from tests.kafka.parts import PATIENCE_S, committed, produce, values
from worker import app
from worker.config import load
from worker.errors import TagstreamError
from worker.kafka.security import Connection

TEXTS = [b'{"text": "%d one two"}' % n for n in range(20)]
NAMED = (
    "input.topics",
    "output.topic",
    "policy.routes",
    "policy.review",
    "dead_letter.topic",
    "dead_letter.replay_topic",
    "kafka.group_id",
    "delivery.transactional_id_prefix",
)

CLUSTERED = ("clusters.topic", "clusters.sample_topic", "clusters.event_topic")

_COMPOSED = ("input.topics", "policy.routes", "policy.review")


class Site:
    """The names that one worker's settings hold, by setting; its topics are made, its input is written.

    `bootstrap` is a listener that lets everybody do everything.
    """

    def __init__(self, bootstrap: str, unique: Callable[[str], str], *, clusters: bool = False) -> None:
        self.bootstrap = bootstrap
        self.names = {setting: unique(setting) for setting in (*NAMED, *(CLUSTERED if clusters else ()))}
        topics = [name for setting, name in self.names.items() if setting not in NAMED[-2:]]
        with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
            admin.create_topics([NewTopic(topic, 1, 1) for topic in topics])
            admin.wait_for_topics(topics)
        produce(bootstrap, self.names["input.topics"], [*TEXTS, b"{broken"])

    def assignments(self, connection: Connection, *more: str) -> list[str]:
        """Settings as they follow `--set`: one label has a topic of its own, and what is unsure is reviewed."""
        names = self.names
        return [
            *as_assignments(connection),
            f'input.topics=["{names["input.topics"]}"]',
            f'policy.routes={{"a": "{names["policy.routes"]}"}}',
            f'policy.review={{"topic": "{names["policy.review"]}", "below": 0.1}}',
            *(f"{setting}={names[setting]}" for setting in NAMED if setting not in _COMPOSED),
            *(f"{setting}={names[setting]}" for setting in CLUSTERED if setting in names),
            f"clusters.enabled={str(CLUSTERED[0] in names).lower()}",
            *("http.port=0", "delivery.delivery_timeout_s=12", *more),
        ]

    def run(self, connection: Connection, *more: str, meanwhile: Callable[[], None] | None = None) -> None:
        """Read the input to its end, or without end while this thread does something that stops the worker.

        Raises what stopped it; a worker that never stops is a failure.
        """
        mode = app.Mode(until=None if meanwhile else "end")
        settings = load(None, self.assignments(connection, *more), {})
        raised: list[TagstreamError] = []

        def work() -> None:
            try:
                app.make_worker(settings, FakeEngine(), mode).run()
            except TagstreamError as error:
                raised.append(error)

        thread = threading.Thread(target=work, name="worker", daemon=True)
        thread.start()
        if meanwhile:
            meanwhile()
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the worker waits although waiting cannot help"
        if raised:
            raise raised[0]

    def written(self) -> int:
        """Committed results and dead letters."""
        return sum(len(values(self.bootstrap, self.names[setting])) for setting in NAMED[1:5])

    def finished(self) -> bool:
        """Each record of the input has come out exactly once, and the group stands at the end."""
        end = len(TEXTS) + 1
        group, topic = f"{self.names['kafka.group_id']}-until-end", self.names["input.topics"]
        return self.written() == end and committed(self.bootstrap, group, topic) == {0: end}


def as_assignments(connection: Connection) -> list[str]:
    """As they follow `--set`."""
    found = {field.name: getattr(connection, field.name) for field in fields(connection)}
    return [f"kafka.{name}={_plain(value)}" for name, value in found.items() if value is not None]


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
