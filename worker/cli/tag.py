"""`tagstream tag`: the stages of the worker on a file or stdin, without a broker."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

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
    from worker.tagging import Tagging

STDIN = "-"
SNIFFED_BYTES = 1024
FORMATS = ("json", "text", "mbox")
FILE_FORMATS: dict[str, FileFormat] = {"json": "json", "text": "text", "mail": "mbox"}


@click.command("tag")
@click.argument("source", metavar="IN", type=click.Path(allow_dash=True))
@with_settings
@click.option("-o", "out", type=click.Path(path_type=Path), metavar="OUT", help="Write results there, not to stdout.")
@click.option(
    "-d", "dead", type=click.Path(path_type=Path), metavar="FILE", help="Write dead letters there, not to stderr."
)
@click.option("--format", "forced", type=click.Choice(FORMATS), help="What IN holds, where its name does not say it.")
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
            run(_for_file(settings, format), File(stream, _name(source), format), Targets(out, dead, files))
    except BrokenPipeError:  # whoever read the results wants no more of them, e.g. `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end


class File(NamedTuple):
    """What is tagged; `name` is the topic that results give as their source."""

    stream: BufferedReader
    name: str
    format: FileFormat


class Targets:
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
        return sys.stdout.buffer if self._out is None else self._open(self._out)

    def reject(self, otherwise: Callable[[Rejected], None]) -> Callable[[Rejected], None]:
        """What to do with a dead letter: a JSON line in the file for them, or `otherwise`."""
        if self._dead is None:
            return otherwise
        import orjson

        file = self._open(self._dead)

        def write(letter: Rejected) -> None:
            file.write(orjson.dumps(letter, option=orjson.OPT_APPEND_NEWLINE))

        return write

    def _open(self, path: Path) -> BinaryIO:
        try:
            return self._files.enter_context(path.open("wb"))
        except OSError as error:
            raise SettingsError(f"cannot write {path}: {error.strerror}") from None


def run(settings: Settings, file: File, targets: Targets) -> None:
    """Load the model, run the pipeline to the end of the file, print the totals, after Ctrl-C too."""
    from prometheus_client import CollectorRegistry

    from worker import app, engines
    from worker.clustering import make_local
    from worker.files.report import Report
    from worker.files.source import FileSource
    from worker.metrics import Metrics

    metrics = Metrics(CollectorRegistry())
    source = FileSource(
        stream=file.stream,
        name=file.name,
        format=file.format,
        max_record_bytes=settings.text.max_bytes,
        max_batch_bytes=settings.batch.max_bytes,
    )
    report = Report(stream=sys.stderr, bar=targets.bar, position=lambda: source.position, size=_size(file.stream))
    with (
        contextlib.closing(engines.load_model(settings, log_level="warning")) as engine,
        contextlib.closing(make_local(settings)) as clusters,
    ):
        tagging = app.make_tagging(settings, engine, clusters, metrics)
        began = time.monotonic()
        try:
            with report:
                _run_pipeline(settings, source, tagging, metrics, report, targets)
        finally:
            report.end(_totals(metrics, time.monotonic() - began))


def _run_pipeline(
    settings: Settings, source: FileSource, tagging: Tagging, metrics: Metrics, report: Report, targets: Targets
) -> None:
    from worker.files.delivery import LinesDelivery
    from worker.inflight import InFlight
    from worker.pipeline import Pipeline
    from worker.sizing import BatchSizer, Sizing

    delivery = LinesDelivery(results=targets.results(), reject=targets.reject(report.reject), through=report.through)
    pipeline = Pipeline(
        source=source,
        delivery=delivery,
        stages=tagging,
        in_flight=InFlight(),
        sizer=BatchSizer(Sizing(settings.batch.target_s, settings.batch.max_records)),
        observer=metrics,
        slots=settings.batch.slots,
    )
    pipeline.run(drain_timeout_s=settings.delivery.drain_timeout_s)


def _open_input(source: str, files: contextlib.ExitStack) -> BufferedReader:
    if source == STDIN:
        return files.enter_context(open(sys.stdin.fileno(), "rb", closefd=False))
    try:
        return files.enter_context(open(source, "rb"))
    except OSError as error:
        raise SettingsError(f"cannot read {source}: {error.strerror}") from None


def _format(settings: Settings, source: str, stream: BufferedReader, forced: FileFormat | None) -> FileFormat:
    from worker.files.formats import guess, refuse_unreadable

    start = stream.peek(SNIFFED_BYTES)[:SNIFFED_BYTES]
    configured = FILE_FORMATS[settings.input.format] if "format" in settings.input.model_fields_set else None
    format = forced or guess(Path(source).suffix, configured, start)
    refuse_unreadable(format, start, source)
    return format


def _refuse_overwriting(source: str, *written: Path | None) -> None:
    there = [path for path in (Path(source), *written) if path is not None and path.is_file()]
    for index, path in enumerate(there):
        if any(path.samefile(other) for other in there[:index]):
            raise SettingsError(f"{path} would be read and written, or written twice: name another file")


def _for_file(settings: Settings, format: FileFormat) -> Settings:
    """The same rules without topics: one format, no replays, and results as TaggedMessage objects."""
    read = {known: name for name, known in FILE_FORMATS.items()}[format]
    return settings.model_copy(
        update={
            "input": settings.input.model_copy(update={"format": read, "topics": ()}),
            "dead_letter": settings.dead_letter.model_copy(update={"replay_topic": None}),
            "output": settings.output.model_copy(update={"format": "tagged"}),
        }
    )


def _name(source: str) -> str:
    """The file's name as a topic may be called."""
    return "stdin" if source == STDIN else re.sub(r"[^a-zA-Z0-9._-]", "-", Path(source).name)[-249:]


def _size(stream: BufferedReader) -> int | None:
    return os.fstat(stream.fileno()).st_size if stream.seekable() else None


def _totals(metrics: Metrics, seconds: float) -> Totals:
    from worker.files.report import Totals
    from worker.metrics import sums_by, total

    return Totals(
        records=total(metrics.processed),
        labels=sums_by(metrics.predictions, "label"),
        dead_letters=sums_by(metrics.dead_letters, "reason"),
        dropped=total(metrics.dropped),
        seconds=seconds,
    )
