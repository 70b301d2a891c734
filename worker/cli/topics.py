"""`tagstream topics create|describe`: the topics that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from worker.cli.options import print_json, with_json, with_settings

if TYPE_CHECKING:
    from worker.kafka.topics import TopicSpec, TopicState
    from worker.settings import Settings


@click.group()
def command() -> None:
    """Create or describe the topics that the settings name."""


@command.command()
@with_settings
@with_json
def create(settings: Settings, as_json: bool) -> None:
    """Make the topics that are missing; those that exist are left as they are."""
    from worker.kafka.security import Connection
    from worker.kafka.topics import TopicAdmin

    specs = needed(settings)
    with TopicAdmin(Connection.of(settings.kafka)) as admin:
        made = admin.create(specs)
    if as_json:
        print_json({"created": made, "existing": [spec.name for spec in specs if spec.name not in made]})
        return
    for spec in specs:
        click.echo(f"{'created' if spec.name in made else 'exists ':8} {spec.name} ({spec.purpose})")


@command.command()
@with_settings
@with_json
def describe(settings: Settings, as_json: bool) -> int:
    """Show each topic, and what is wrong with it for its purpose; exit code 1 if anything is."""
    from worker.kafka.security import Connection
    from worker.kafka.topics import TopicAdmin, shortcomings

    specs = needed(settings)
    with TopicAdmin(Connection.of(settings.kafka)) as admin:
        found = admin.describe(spec.name for spec in specs)
    wrong = {spec.name: shortcomings(spec, found.get(spec.name)) for spec in specs}
    if as_json:
        print_json({"topics": [_as_dict(spec, found.get(spec.name), wrong[spec.name]) for spec in specs]})
    else:
        for spec in specs:
            _show(spec, found.get(spec.name), wrong[spec.name])
    return 1 if any(wrong.values()) else 0


def needed(settings: Settings) -> tuple[TopicSpec, ...]:
    """What the settings ask for; topics of a pattern exist or do not, so they are not among them."""
    from worker.kafka.topics import required_topics

    replay = settings.dead_letter.replay_topic
    return required_topics(
        inputs=[name for name in settings.input_topics() if name != replay],
        outputs=[name for name in settings.output_topics() if name != settings.dead_letter.topic],
        dead_letter=settings.dead_letter.topic,
        replay=replay,
        feedback=settings.feedback.topic,
        clusters=settings.cluster_topics(),
        partitions=settings.kafka.partitions,
        replication_factor=settings.kafka.replication_factor,
    )


def _as_dict(spec: TopicSpec, found: TopicState | None, wrong: list[str]) -> dict[str, Any]:
    state = found.as_dict() if found else {"name": spec.name}
    return {**state, "purpose": spec.purpose, "exists": found is not None, "findings": wrong}


def _show(spec: TopicSpec, found: TopicState | None, wrong: list[str]) -> None:
    if found is not None:
        configs = " ".join(f"{name}={value}" for name, value in found.configs.items())
        click.echo(
            f"{found.name} ({spec.purpose}): {found.partitions} partitions, replication {found.replication_factor}, "
            f"id {found.id or 'unknown'}\n  {configs}"
        )
    for line in wrong:
        click.echo(f"! {line}")
