"""Options that several commands share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]


def with_settings(command: Command) -> Command:
    """Add `--config` and `--set`; the command gets `settings`, made of them and the environment."""

    @click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings, a YAML file.")
    @click.option(
        "--set", "assignments", multiple=True, metavar="A.B=C", help="One setting; over file and environment."
    )
    @functools.wraps(command)
    def wrapper(*args: Any, config: Path | None, assignments: tuple[str, ...], **more: Any) -> Any:
        from worker.config import load

        return command(*args, settings=load(config, assignments, os.environ), **more)

    return wrapper


def with_json(command: Command) -> Command:
    """Add `--json`; the command gets `as_json` and then prints one object."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def print_json(value: Any) -> None:
    """One object on one line, for programs."""
    import orjson

    click.echo(orjson.dumps(value).decode())
