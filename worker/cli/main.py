"""The command line: finds the command, and turns every failure into one line and an exit code.

0 done, 1 failed while running, 2 the call or the settings are wrong, 130 interrupted.
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any, NamedTuple

import click

from worker import __version__
from worker.errors import SettingsError, TagstreamError

DONE, FAILED, WRONG_CALL, INTERRUPTED = 0, 1, 2, 130


class Entry(NamedTuple):
    """Where a command is, and what `--help` says of it without importing it."""

    module: str
    summary: str
    attribute: str = "command"


COMMANDS = {
    "demo": Entry("worker.cli.demo", "The whole thing in one minute: broker, model and texts included."),
    "run": Entry("worker.cli.run", "Run a worker: texts in from Kafka, tagged messages out."),
    "check": Entry("worker.cli.check", "Check settings, broker, topics and model; says what to do."),
    "tag": Entry("worker.cli.tag", "The same pipeline on a file or stdin, without a broker."),
    "topics": Entry("worker.cli.topics", "Create or describe the topics that the settings name."),
    "produce": Entry("worker.cli.traffic", "Send texts from a file or stdin to a topic.", "produce"),
    "tail": Entry("worker.cli.traffic", "Show results as they come.", "tail"),
    "dlq": Entry("worker.cli.dlq", "List, show and replay dead letters."),
    "feedback": Entry("worker.cli.feedback", "Collect corrections into a labelled set."),
    "clusters": Entry("worker.cli.clusters", "Look at the shared clusters, fit, name, pin and merge them."),
    "broker": Entry("worker.cli.broker", "Run the embedded broker, for development."),
    "train": Entry("worker.cli.train", "Train a model on labelled texts."),
    "evaluate": Entry("worker.cli.evaluate", "Judge a model by labelled texts, beside TF-IDF."),
    "explain": Entry("worker.cli.explain", "Show which words carried a text's label."),
    "bench": Entry("worker.cli.bench", "Measure throughput and latency on this machine."),
}


class Commands(click.Group):
    """Imports a command's module only when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            return INTERRUPTED


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tagstream")
def tagstream() -> None:
    """Labels, clusters and routes text streams: Kafka in, Kafka out, exactly once."""


def main() -> int:
    """Run the command line; a command's callback may return its exit code."""
    logging.getLogger("kafka").addHandler(logging.NullHandler())  # else it writes to stderr beside our one line
    try:
        code = tagstream.main(prog_name="tagstream", standalone_mode=False)
    except SettingsError as error:
        return _fail(str(error), WRONG_CALL)
    except TagstreamError as error:
        return _fail(str(error), FAILED)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return WRONG_CALL
    except click.Abort:
        code = INTERRUPTED
    except click.ClickException as error:
        return _fail(_usage_line(error), error.exit_code)
    if code == INTERRUPTED:
        return _fail("interrupted", INTERRUPTED)
    return code if isinstance(code, int) else DONE


def _usage_line(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"{error.format_message()} See `{context.command_path} --help`." if context else error.format_message()


def _fail(message: str, code: int) -> int:
    click.echo(f"tagstream: {' '.join(message.split())}", err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
