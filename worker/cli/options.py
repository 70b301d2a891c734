"""Options that several commands share."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """A time in seconds, or such as 90s, 15m, 2h; the command gets seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"(\d+\.?\d*)([smh]?)", str(value))
        if match is None or not float(match[1]):
            self.fail(f"{value!r} is not a time; write seconds, or such as 90s, 15m, 2h", param, ctx)
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


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


def with_columns(command: Command) -> Command:
    """Add what says how labelled data is laid out; the command gets `columns`."""

    @click.option("--text", "text", metavar="COLUMN", help="The column with the text; dots go into nested objects.")
    @click.option("--label", "label", metavar="COLUMN", help="The column with the label, or a list of labels.")
    @click.option(
        "--split-column", "given", metavar="COLUMN", help="The column with train, valid or test; '' for none."
    )
    @click.option("--separator", metavar="CHAR", help="Between several labels in one cell.")
    @click.option("--encoding", metavar="NAME", help="Of the files, where it is not UTF-8 and guessed wrongly.")
    @functools.wraps(command)
    def wrapper(
        *args: Any,
        text: str | None,
        label: str | None,
        given: str | None,
        separator: str | None,
        encoding: str | None,
        **more: Any,
    ) -> Any:
        from worker.training.columns import Columns

        columns = Columns(text=text, label=label, split=given, separator=separator, encoding=encoding)
        return command(*args, columns=columns, **more)

    return wrapper


def with_json(command: Command) -> Command:
    """Add `--json`; the command gets `as_json` and then prints one object."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def print_json(value: Any) -> None:
    """One object on one line, for programs."""
    import orjson

    click.echo(orjson.dumps(value).decode())
