"""Codecs: all that Kafka has are read and written out of the box; one whose library is missing is one clear line."""

from __future__ import annotations

from collections.abc import Callable

import kafka.codec as kafka_codec
import pytest
import structlog
from kafka import KafkaProducer

from tests.kafka import parts
from tests.kafka.conftest import TopicFactory
from worker.errors import Stop
from worker.kafka.client import make_producer
from worker.kafka.codecs import CODECS, unreadable
from worker.kafka.delivery import FlushingDelivery

Unique = Callable[[str], str]
LONG = b"the same again " * 200  # what is not shorter compressed is sent as it is


def _write(bootstrap: str, topic: str, codec: str) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type=codec)
    producer.send(topic, value=LONG).get()
    producer.close()


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_read(kafka: str, topic_factory: TopicFactory, unique: Unique, codec: str) -> None:
    """Field report 8: whatever the producers, or the topic's own compression.type, have chosen."""
    topic = topic_factory("in", configs={"compression.type": codec})
    _write(kafka, topic, codec)
    with parts.opened_source(kafka, topic, unique("g")) as source:
        (batch,) = [batch for batch in parts.polled(source, 1) if batch.records]
    assert batch.records[0].value == LONG


def test_a_codec_that_cannot_be_read_stops_in_one_line(
    kafka: str, topic_factory: TopicFactory, unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap 3: the start warns, and the first such record stops us, with what to install: the client would spin."""
    topic = topic_factory("in")
    _write(kafka, topic, "zstd")
    monkeypatch.setattr(kafka_codec, "has_zstd", lambda: False)
    with (
        structlog.testing.capture_logs() as said,
        parts.opened_source(kafka, topic, unique("g")) as source,
        pytest.raises(Stop, match=r"^[^\n]*zstd[^\n]*install zstandard$"),
    ):
        parts.polled(source, 1)
    assert ("zstd", "zstandard") in [(line.get("codec"), line.get("install")) for line in said]


def test_what_the_library_says_of_a_codec() -> None:
    """Each of its lines names what to install; a codec that nobody knows yet asks for an update."""
    for codec, library in CODECS.items():
        assert str(unreadable(f"Libraries for {codec} compression codec not found")).endswith(f"install {library}")
    assert "update tagstream" in str(unreadable("Unrecognized compression type: 9"))


def test_output_in_a_codec_without_library_is_no_broker_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`output.compression` of a codec that cannot be written: `Stop` at once, not one more attempt for ever."""
    monkeypatch.setattr(kafka_codec, "has_lz4", lambda: False)
    delivery = FlushingDelivery(
        commit=lambda batch: None,
        make=lambda: make_producer(parts.options("127.0.0.1:1", 100), compression="lz4", delivery_timeout_s=1.0),
        topics=[],
        timeout_s=1.0,
        stopping=lambda: False,
    )
    with pytest.raises(Stop, match=r"output\.compression: lz4.*install lz4"):
        delivery.recover()
