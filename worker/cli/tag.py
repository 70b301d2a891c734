"""`tagstream tag`: the stages of the worker on a file or stdin, without a broker."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from worker.cli.options import with_settings
from worker.errors import SettingsError

if TYPE_CHECKING:
    from worker.files.delivery import Rejected
    from worker.files.formats import FileFormat
    from worker.files.report import Report, Totals
    from worker.files.source import FileSource
    from worker.metrics import Metrics
    from worker.settings import Settings

STDIN = "-"
SNIFFED_BYTES = 1024
INPUT_FORMATS = {"json": "json", "text": "text", "mbox": "mail"}
FILE_FORMATS: dict[str, FileFormat] = {"json": "json", "text": "text", "mail": "mbox"}


@click.command("tag")
@click.argument("source", metavar="IN", type=click.Path(allow_dash=True))
@with_settings
@click.option("-o", "out", type=click.Path(path_type=Path), metavar="OUT", help="Write results there, not to stdout.")
@click.option(
    "-d", "dead", type=click.Path(path_type=Path), metavar="FILE", help="Write dead letters there, not to stderr."
)
@click.option(
    "--format", "forced", type=click.Choice(list(INPUT_FORMATS)), help="What IN holds, where its name does not say it."
)
def command(settings: Settings, source: str, out: Path | None, dead: Path | None, forced: FileFormat | None) -> None:
    """Tag the texts of IN, a file or - for stdin: JSON lines, plain text (one text a line) or an mbox.

    Results are TaggedMessage objects, one a line, in the order of IN. A text that cannot be tagged is reported
    by its number and the reason, and the others go on.
    """
    from worker import app, logs

    logs.configure("warning", settings.logging.format)
    app.settle_environment()
    try:
        with contextlib.ExitStack() as files:
            stream = _open_input(source, files)
            format = _format(settings, source, stream, forced)
            _refuse_overwriting(source, out, dead)
            run(_settings_for_file(settings, format), stream, _name(source), format, _Targets(out, dead, files))
    except BrokenPipeError:  # whoever read the results wants no more of them, e.g. `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end


class _Targets:
    """Where lines go: opened only when everything else is ready, as that empties the files."""

    def __init__(self, out: Path | None, dead: Path | None, files: contextlib.ExitStack) -> None:
        self._out = out
        self._dead = dead
        self._files = files

    @property
    def bar(self) -> bool:
        """A bar would be torn by results on the same terminal."""
        return sys.stderr.isatty() and (self._out is not None or not sys.stdout.isatty())

    def results(self) -> BinaryIO:
        return sys.stdout.buffer if self._out is None else self._files.enter_context(_opened(self._out, "wb"))

    def reject(self, otherwise: Callable[[Rejected], None]) -> Callable[[Rejected], None]:
        """What to do with a dead letter: a JSON line in the file for them, or `otherwise`."""
        if self._dead is None:
            return otherwise
        import orjson

        file = self._files.enter_context(_opened(self._dead, "wb"))
        return lambda letter: (file.write(orjson.dumps(letter) + b"\n"), None)[1]


def run(settings: Settings, stream: BufferedReader, name: str, format: FileFormat, targets: _Targets) -> None:
    """Load the model, run the pipeline to the end of the stream, print the totals, after Ctrl-C too."""
    from prometheus_client import CollectorRegistry

    from worker import app
    from worker.files.report import Report
    from worker.files.source import FileSource
    from worker.metrics import Metrics

    engine = app.load_model(settings)
    metrics = Metrics(CollectorRegistry())
    source = FileSource(
        stream=stream,
        name=name,
        format=format,
        max_record_bytes=settings.text.max_bytes,
        max_batch_bytes=settings.batch.max_bytes,
    )
    report = Report(stream=sys.stderr, bar=targets.bar, position=lambda: source.position, size=_size(stream))
    with contextlib.closing(app.make_clusters(settings)) as clusters:
        tagging = app.make_tagging(settings, engine, clusters, metrics)
        began = time.monotonic()
        try:
            with report:
                _run_pipeline(settings, source, tagging, metrics, report, targets)
        finally:
            report.end(_totals(metrics, time.monotonic() - began))
