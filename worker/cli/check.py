"""`tagstream check`: each thing that a worker needs, tried one after the other, with what to do about it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from worker.cli.options import print_json, with_json, with_settings
from worker.errors import SettingsError, Stop, TagstreamError

if TYPE_CHECKING:
    from worker.checks.finding import Finding
    from worker.checks.probes import Cluster, Held
    from worker.kafka.security import Connection
    from worker.kafka.topics import TopicSpec
    from worker.settings import Settings
    from worker.types import Partition

SAMPLE_TIMEOUT_S = 10.0
WITHOUT_BROKER = ("topics", "group", "input", "transactions", "clock")


@click.command("check")
@with_settings
@with_json
def command(settings: Settings, as_json: bool) -> int:
    """Try everything that a worker with these settings needs: machine, model, broker, topics, input, transactions.

    Each finding says what to do about it; exit code 1 if any is an error. Nothing is changed.
    """
    from worker import app, logs
    from worker.checks import finding

    logs.configure("error", settings.logging.format)
    app.settle_environment()
    findings = []
    for found in check(settings):
        findings.append(found)
        if not as_json:
            click.echo(finding.shown(found))
    errors, warnings = (finding.count(findings, severity) for severity in ("error", "warning"))
    if as_json:
        print_json(finding.as_json(findings))
    else:
        click.echo(f"\n{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}")
    return 1 if errors else 0


def check(settings: Settings) -> Iterator[Finding]:
    """All findings, as they come; what depends on a step that failed is skipped."""
    from worker.checks.finding import ok, skipped
    from worker.kafka.security import Connection

    yield ok("settings", "", "valid")
    yield from _machine()
    yield from _languages(settings)
    yield from _model(settings)
    connection = Connection.of(settings.kafka)
    reached = False
    for found in _brokers(connection):
        reached = reached or (found.check == "broker" and found.severity == "ok")
        yield found
    if reached:
        yield from _cluster(settings, connection)
    else:
        yield from (skipped(check, "no broker could be reached") for check in WITHOUT_BROKER)


def _machine() -> Iterator[Finding]:
    from worker.checks import machine
    from worker.kafka.codecs import importable_codecs

    yield machine.judge_codecs(importable_codecs())
    yield machine.judge_checksums(machine.has_fast_checksums())


def _languages(settings: Settings) -> Iterator[Finding]:
    from worker.checks.finding import error, ok
    from worker.text.language import LanguageIdentifier

    if not settings.text.identify_language:
        return
    try:
        LanguageIdentifier()
        yield ok("languages", "", "py3langid names those of texts whose sender does not")
    except SettingsError as failure:
        what, _, do = str(failure).rpartition(": ")
        yield error("languages", "", what, do)


def _model(settings: Settings) -> Iterator[Finding]:
    from worker import engines, rules
    from worker.checks.finding import error, ok, skipped
    from worker.checks.machine import judge_labels, judge_parts, judge_precision
    from worker.model.folder import placeholder_labels
    from worker.policy.routes import findings

    try:
        engine = engines.load_model(settings, log_level="error")
    except TagstreamError as failure:
        yield error("model", settings.model.path, str(failure), "see the settings under model")
        yield skipped("policy", "no model")
        return
    engine.close()  # what it says of itself is enough
    yield from judge_parts(engine.parts)
    yield from judge_precision(engine.place[1], engine.offer.loss)
    labels = [label for classifier in engine.classifiers for label in classifier.labels]
    yield from judge_labels(engine.classifiers, placeholder_labels(labels))
    wrong = [line.rpartition("; ") for line in findings(rules.make_policy(settings), engine.classifiers)]
    yield from (error("policy", "", what, do) for what, _, do in wrong)
    if not wrong:
        yield ok("policy", "", "every route has a label")


def _brokers(connection: Connection) -> Iterator[Finding]:
    """Each server of kafka.bootstrap, and each broker at the address that it tells clients to come back to."""
    from worker.checks.finding import error, ok, warning
    from worker.kafka.reach import NotReached, connect, reach, resolve
    from worker.kafka.wire import Address

    options = connection.client_options()
    advertised: dict[Address, None] = {}
    failures: dict[str, NotReached] = {}
    for server in connection.servers:
        try:
            advertised |= dict.fromkeys(reach(options, server))
            yield ok("broker", server, f"lets us in ({connection.security_protocol})")
        except NotReached as failure:
            failures[server] = failure
    severity = warning if advertised else error  # one server is enough to begin with
    for server, why in failures.items():
        yield severity("broker", server, f"{why.step}: {why.what}", why.do)
    for address in advertised:
        try:
            resolve(address)
            connect(address, connection.request_timeout_s).close()
        except NotReached as failure:
            what = f"is where the brokers send clients, but {failure.what}"
            yield error("address", f"{address.host}:{address.port}", what, "mend the broker's advertised.listeners")


def _cluster(settings: Settings, connection: Connection) -> Iterator[Finding]:
    from worker.checks.finding import error, ok
    from worker.checks.inputs import judge_clock
    from worker.checks.probes import ask_cluster

    try:
        cluster = ask_cluster(connection)
    except Stop as failure:
        yield error("cluster", "", str(failure), "see the broker's log")
        return
    count = f"{cluster.brokers} broker{'s' if cluster.brokers != 1 else ''}"
    yield ok("cluster", "", f"Kafka {cluster.version} or newer, {count}")
    yield from judge_clock(cluster.clock_ahead_s)
    yield from _tried("topics", lambda: _topics(settings, connection, cluster))
    yield from _tried("transactions", lambda: _transactions(settings, connection))


def _topics(settings: Settings, connection: Connection, cluster: Cluster) -> Iterator[Finding]:
    from worker import app
    from worker.checks.finding import error, skipped
    from worker.checks.topics import Promises, judge_topic
    from worker.kafka.topics import TopicAdmin

    with TopicAdmin(connection) as admin:
        specs = [*app.topic_specs(settings), *_matching(settings, admin.names())]
        found = admin.describe(spec.name for spec in specs)
    promises = Promises(
        create_topics=settings.kafka.create_topics,
        carries_text=settings.output.include_text or settings.output.format == "original",
        max_bytes=settings.text.max_bytes,
    )
    for spec in specs:
        yield from judge_topic(spec, found.get(spec.name), promises, cluster.brokers)
    inputs = [spec.name for spec in specs if spec.purpose in ("input", "replay")]
    if not inputs:
        yield error("input", "", "there is nothing to read", "set input.topics, or an input.pattern that matches")
    there = {topic: found[topic].id for topic in inputs if topic in found}
    compacted = [s.name for s in specs if s.purpose != "input" and s.name in found and found[s.name].is_compacted]
    yield from _tried("input", lambda: _input(settings, connection, there, compacted))
    yield from (skipped("input", f"topic {topic} is missing") for topic in inputs if topic not in found)


def _matching(settings: Settings, names: Sequence[str]) -> list[TopicSpec]:
    from worker.kafka.topics import TopicSpec

    pattern, listed = settings.input.pattern, settings.input_topics()
    if pattern is None:
        return []
    return [TopicSpec(name, "input", 1, 1) for name in names if re.match(pattern, name) and name not in listed]


def _input(
    settings: Settings, connection: Connection, topics: Mapping[str, str | None], compacted: Sequence[str]
) -> Iterator[Finding]:
    """The group's place in each topic, given with its id, and what its newest records look like."""
    from worker import rules
    from worker.checks.finding import error
    from worker.checks.inputs import judge_keys, judge_sample, judge_stamps
    from worker.checks.probes import hold, sample
    from worker.checks.topics import judge_group

    held = hold(connection, settings.kafka.group_id, topics)
    records, failures = sample(connection, held, SAMPLE_TIMEOUT_S)
    decode = rules.make_decoder(settings)
    for topic, topic_id in topics.items():
        yield judge_group(topic, topic_id, _of(topic, held), settings.input.on_gap)
        ours = [record for record in records if record.topic == topic]
        if ours or not any(p.topic == topic for p in failures):
            yield from judge_sample(topic, ours, decode, _format(settings, topic))
    for partition, why in failures.items():
        where = f"{partition.topic}[{partition.partition}]"
        yield error("input", where, f"its newest records cannot be read: {why}", "see docs/operations.md")
    yield from judge_keys(records, compacted)
    yield from judge_stamps(records, time.time())


def _of(topic: str, held: dict[Partition, Held]) -> dict[Partition, Held]:
    return {partition: span for partition, span in held.items() if partition.topic == topic}


def _format(settings: Settings, topic: str) -> str:
    own = next((t.format for t in settings.input.topics if t.topic == topic), None)
    return own or settings.input.format


def _transactions(settings: Settings, connection: Connection) -> Iterator[Finding]:
    from worker.checks.finding import error, ok, skipped
    from worker.checks.probes import try_transaction

    delivery = settings.delivery
    if delivery.mode != "exactly_once":
        yield skipped("transactions", "delivery.mode is at_least_once")
        return
    name = f"{delivery.transactional_id_prefix}-check"
    try:
        try_transaction(connection, name, delivery.delivery_timeout_s)
        yield ok("transactions", name, "can be opened and aborted")
    except Stop as failure:
        do = (
            "grant Write and Describe on TransactionalId with this prefix, or see transaction.state.log.* on the broker"
        )
        yield error("transactions", name, str(failure), do)


def _tried(check: str, step: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a step finds; its failure is a finding like the others."""
    from worker.checks.finding import error

    try:
        yield from step()
    except Stop as failure:
        yield error(check, "", str(failure), "grant what it needs, or see the broker's log")
