"""Labelled data from files and folders: a stream of rows, or the corpus that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from worker.errors import SettingsError, Skip
from worker.text.clean import is_blank
from worker.text.mail import read_mail
from worker.training.columns import Columns, Fields, Row, labels_of, lookup, resolve, split_of_value
from worker.training.corpus import SPLITS, Corpus, Example, Kind, Split, fingerprint, refuse_untrainable
from worker.training.lines import refuse_encoding
from worker.training.mails import MailFile, mail_files, mails
from worker.training.sample import Sample
from worker.training.splitting import Keyed, carved_splits, key_of, settle
from worker.training.tables import rows_of, table_format
from worker.training.tally import Tally

_PEEKED = 100  # rows that show which columns a file has: JSON lines have no header, and a field may be left out


class Labelled(NamedTuple):
    """A row that can be used. `given` is the split that it names; `multi`: it may have any number of labels."""

    text: str
    labels: tuple[str, ...]
    given: Split | None
    multi: bool


Read = Callable[[Tally], Iterator[Labelled]]


def read_corpus(
    paths: Sequence[Path],
    *,
    columns: Columns,
    max_examples: int | None = None,
    seed: int = 0,
    into: Split | None = None,
) -> Corpus:
    """Everything under `paths` as one corpus; what cannot be used is counted in `dropped`.

    At most `max_examples` are held in memory and kept, drawn by `seed`. With `into` all of them go to that split, as
    for data that a finished model is measured on; otherwise it must be possible to train on them. Raises
    `SettingsError` before anything long: for files that cannot be read, columns that are not there, too few labels.
    """
    tally, sample = Tally(), Sample(most=max_examples, seed=seed)
    multi = False
    for row in read_examples(paths, columns=columns, tally=tally):
        multi = multi or row.multi
        sample.add(Keyed(key_of(row.text), Example(row.text, row.labels), into or row.given))
    tally.dropped["not_sampled"] += sample.left_out
    corpus = _corpus(sample.rows, multi, tally, carve=into is None)
    if into is None:
        refuse_untrainable(corpus)
    return corpus


def read_examples(paths: Sequence[Path], *, columns: Columns, tally: Tally) -> Iterator[Labelled]:
    """The usable rows of all `paths` one by one; the others are counted in `tally`.

    Files, names and columns are checked at once, before the first row is taken. Raises `SettingsError`.
    """
    refuse_encoding(columns.encoding)
    if not paths:
        raise SettingsError("no data is named; give a file of labelled texts or a folder of mails")
    reads = [read for path in paths for read in _reads(path, columns)]
    return chain.from_iterable(read(tally) for read in reads)


def _reads(path: Path, columns: Columns) -> list[Read]:
    if not path.exists():
        raise SettingsError(f"{path} does not exist; give a file of labelled texts or a folder of mails")
    if not path.is_dir():
        return [_table(path, columns)]
    try:
        files = _tables(path) or mail_files(path)
    except OSError as error:
        raise SettingsError(f"cannot read {error.filename or path}: {error.strerror}") from None
    return [_mailbox(file) if isinstance(file, MailFile) else _table(file, columns) for file in files]


def _tables(folder: Path) -> list[Path]:
    """The shards that a folder holds; none of a folder of mails."""
    shown = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    tables = [path for path in shown if path.is_file() and table_format(path)]
    if tables and any(path.is_dir() for path in shown):
        raise SettingsError(f"{folder} holds folders beside {tables[0].name}; name the files or folders that are meant")
    return tables


def _table(path: Path, columns: Columns) -> Read:
    fields = _fields(path, columns)

    def read(tally: Tally) -> Iterator[Labelled]:
        for number, row in enumerate(rows_of(path, columns, tally, fields.named), 1):
            found = _labelled(row, fields, columns, f"{path} row {number}", tally)
            if found is not None:
                yield found

    return read


def _fields(path: Path, columns: Columns) -> Fields:
    tally = Tally()
    with closing(rows_of(path, columns, tally)) as rows:
        first = list(islice(rows, _PEEKED))
    if not first:
        why = f": {tally.first_unreadable}" if tally.first_unreadable else ""
        raise SettingsError(f"{path} has no row that can be read{why}; is it what its ending says?")
    return resolve(columns, first, str(path))


def _labelled(row: Row, fields: Fields, columns: Columns, where: str, tally: Tally) -> Labelled | None:
    text, label = lookup(row, fields.text), lookup(row, fields.label)
    given = split_of_value(lookup(row, fields.split), where) if fields.split else None
    if text is not None and not isinstance(text, str):
        tally.unreadable(f"{where}: the text is {type(text).__name__}, not a string")
        return None
    if text is None or is_blank(text):
        tally.dropped["empty_text"] += 1
        return None
    try:
        labels = labels_of(label, columns.separator)
    except TypeError as error:
        tally.unreadable(f"{where}: {error}")
        return None
    if labels is None:
        tally.dropped["no_label"] += 1
        return None
    return Labelled(text, labels, given, isinstance(label, list) or columns.separator is not None)


def _mailbox(file: MailFile) -> Read:
    def read(tally: Tally) -> Iterator[Labelled]:
        for number, mail in enumerate(mails(file.path), 1):
            try:
                text = read_mail(mail).text
            except Skip as error:
                tally.unreadable(f"{file.path} mail {number}: {error.detail}")
                continue
            if is_blank(text):
                tally.dropped["empty_text"] += 1
            else:
                yield Labelled(text, (file.label,), file.split, multi=False)

    return read


def _corpus(rows: list[Keyed], multi: bool, tally: Tally, *, carve: bool) -> Corpus:
    carved = carved_splits(row.given for row in rows) if carve else ()
    splits = settle(rows, carved, tally)
    if not any(splits.values()):
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(tally.dropped.items()) if count)
        raise SettingsError(f"no row can be used ({reasons or 'there is none'}); mend the data")
    kind: Kind = "multi" if multi else "single"
    return Corpus(
        kind=kind,
        labels=tuple(sorted({label for split in SPLITS for example in splits[split] for label in example.labels})),
        **splits,
        dropped={reason: count for reason, count in sorted(tally.dropped.items()) if count},
        fingerprint=fingerprint(kind, splits),
        notes=(*tally.lines(), *_carved(carved)),
    )


def _carved(carved: Sequence[Split]) -> Iterator[str]:
    if carved:
        yield f"no row names {' or '.join(carved)} as its split: 15 of 100 texts each were taken out of train, by hash"
