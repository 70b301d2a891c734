"""Data together with what people have corrected of it: whose word counts, and which split a corrected text is in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from worker.errors import SettingsError
from worker.model.folder import ModelFolder
from worker.training.columns import Columns
from worker.training.corpus import SPLITS, Corpus, Example, Kind, Split, fingerprint, refuse_untrainable
from worker.training.reading import Labelled, read_examples
from worker.training.splitting import key_of, split_of
from worker.training.tally import Tally


@dataclass(frozen=True, slots=True)
class Corrected:
    """A corpus with its corrections in it. `held_back` says of each of its test texts whether it is one."""

    corpus: Corpus
    held_back: tuple[bool, ...]
    notes: tuple[str, ...]


class _Placed(NamedTuple):
    key: bytes
    example: Example
    correction: bool


def corrected(data: Corpus, file: Path, in_use: ModelFolder) -> Corrected:
    """The data with the corrections of `file`, for a model that is to replace `in_use`. Raises `SettingsError`.

    A correction takes the place of the data's texts of the same normalised form, in their split, so that what is held
    back stays so; a new text goes by its hash. Of several lines on one text the last one counts.
    """
    _refuse_other_model(data, in_use)
    tally = Tally()
    rows = read_examples([file], columns=Columns(split=""), tally=tally)
    latest, unfit = _latest(rows, data.kind)
    dropped = {str(reason): count for reason, count in tally.dropped.items()} | {"not one label": unfit}
    left_out = ", ".join(f"{reason} {count:,}" for reason, count in dropped.items() if count)
    if not latest:
        raise SettingsError(f"{file} holds no correction that can be used ({left_out or 'it is empty'})")
    _refuse_slips(latest.values(), data, in_use, file)
    found = _merged(data, latest)
    refuse_untrainable(found.corpus)
    if not found.corpus.test:
        raise SettingsError("no text is held back to compare the models on: give more data, or mark some rows test")
    notes = [*found.notes, *_about_labels(latest.values(), data, found.corpus, in_use)]
    if left_out:
        notes.append(f"left out of the corrections: {left_out}")
    return replace(found, notes=tuple(notes))


def _refuse_other_model(data: Corpus, in_use: ModelFolder) -> None:
    """One that could not be compared."""
    if in_use.kind != data.kind:
        each = {"single": "one label a text", "multi": "any number of labels a text"}
        raise SettingsError(
            f"the model in use gives {each[in_use.kind]}, the data has {each[data.kind]}: choose another --out"
        )
    if not set(in_use.labels) & set(data.labels):
        raise SettingsError("the model in use has none of the data's labels: choose another --out, or the right data")


def _latest(rows: Iterable[Labelled], kind: Kind) -> tuple[dict[bytes, Example], int]:
    """By the key of the text; and how many have no label that a model of one label could give."""
    latest: dict[bytes, Example] = {}
    unfit = 0
    for row in rows:
        if kind == "single" and len(row.labels) != 1:
            unfit += 1
        else:
            latest[key_of(row.text)] = Example(row.text, row.labels)
    return latest, unfit


def _refuse_slips(corrections: Iterable[Example], data: Corpus, in_use: ModelFolder, file: Path) -> None:
    """Labels that nobody knows and that no training could learn, or that a known one differs from in case only."""
    known = {*data.labels, *in_use.labels}
    folded = {label.casefold(): label for label in known}
    texts: Counter[str] = Counter()
    train: set[str] = set()
    for example in corrections:
        texts.update(example.labels)
        if split_of(key_of(example.text)) == "train":
            train.update(example.labels)
    for label in sorted(texts.keys() - known):
        if (near := folded.get(label.casefold())) is not None:
            raise SettingsError(f"{file} has the label {label[:40]!r}, the data has {near[:40]!r}: make them one")
        if texts[label] < 2 or label not in train:
            raise SettingsError(
                f"{file} has the label {label[:40]!r} in {texts[label]} of its texts, the data and the model in use do"
                " not have it: correct it, or give more examples of it"
            )


def _merged(data: Corpus, latest: Mapping[bytes, Example]) -> Corrected:
    places: dict[bytes, Split] = {}
    changed = 0
    rows: dict[Split, list[_Placed]] = {split: [] for split in SPLITS}
    for split in SPLITS:
        for example in data.of(split):
            key = key_of(example.text)
            if key not in latest:
                rows[split].append(_Placed(key, example, False))
            elif key not in places:
                places[key] = split
                changed += example.labels != latest[key].labels
    for key, example in latest.items():
        rows[places.get(key) or split_of(key)].append(_Placed(key, example, True))
    for placed in rows.values():
        placed.sort(key=lambda row: (row.key, row.example.text, row.example.labels))
    shares = ", ".join(f"{split} {sum(row.correction for row in placed):,}" for split, placed in rows.items())
    of_data = f"; {len(places):,} are of texts in the data, {changed:,} with other labels there" if places else ""
    held_back = tuple(row.correction for row in rows["test"])
    return Corrected(_with(data, rows), held_back, (f"corrections: {shares}{of_data}",))


def _with(data: Corpus, rows: Mapping[Split, Sequence[_Placed]]) -> Corpus:
    splits = {split: tuple(row.example for row in rows[split]) for split in SPLITS}
    return replace(
        data,
        train=splits["train"],
        valid=splits["valid"],
        test=splits["test"],
        labels=tuple(sorted({label for examples in splits.values() for x in examples for label in x.labels})),
        fingerprint=fingerprint(data.kind, splits),
    )


def _about_labels(corrections: Iterable[Example], data: Corpus, merged: Corpus, in_use: ModelFolder) -> Iterator[str]:
    texts = Counter(label for example in corrections for label in example.labels)
    for label in sorted(texts.keys() - {*data.labels, *in_use.labels}):
        yield f"new label of the corrections: {label[:40]!r} ({texts[label]:,} texts)"
    for label in sorted(set(in_use.labels) - set(merged.labels)):
        yield f"the new model will not have the label {label[:40]!r} of the model in use: no text has it"
