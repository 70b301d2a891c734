"""Libraries and labels."""

from __future__ import annotations

from worker.checks.machine import (
    has_fast_checksums,
    judge_checksums,
    judge_codecs,
    judge_labels,
    judge_parts,
    judge_precision,
)
from worker.kafka.codecs import importable_codecs
from worker.types import Classifier, EnginePart, PrecisionLoss


def classifier(*labels: str) -> Classifier:
    return Classifier("default", "single", labels, "model", "0")


def test_this_installation_is_complete() -> None:
    """All codecs and the fast checksum are dependencies of tagstream itself."""
    assert judge_codecs(importable_codecs()).severity == "ok"
    assert judge_checksums(has_fast_checksums()).severity == "ok"


def test_missing_libraries_are_named() -> None:
    """What to install is part of the finding."""
    assert judge_codecs({"gzip": True, "snappy": False, "zstd": False}).do == "install python-snappy zstandard"
    assert judge_checksums(False).do == "install crc32c"


def test_placeholder_labels_come_with_their_mapping() -> None:
    """The line can be pasted into the settings."""
    (finding,) = judge_labels([classifier("LABEL_0", "LABEL_1")], ["LABEL_0", "LABEL_1"])
    assert finding.severity == "warning"
    assert "model.labels: {LABEL_0: NAME, LABEL_1: NAME}" in finding.do


def test_labels_are_shown() -> None:
    """Named labels are right; a model without any gives clusters only."""
    assert judge_labels([classifier("ham", "spam")], [])[0].severity == "ok"
    assert judge_labels([], [])[0].severity == "warning"


def test_what_a_pass_computes_is_said() -> None:
    """How many layers for whom; a model that has to pad is a warning with its reason."""
    packed = EnginePart(("spam", "encoder"), "m", 6, 6, packed=True, why_padded="")
    padded = EnginePart(("topic",), "n", 12, 2, packed=False, why_padded="model type x is not among them")
    first, second = judge_parts([packed, padded])
    assert (first.severity, second.severity) == ("ok", "warning")
    assert "6 of 6 layers computed for spam, encoder" in first.where
    assert "model type x" in second.what


def test_what_a_lower_precision_costs_is_said() -> None:
    """Accuracy on the user's own texts, before and after; nothing where nothing was lowered."""
    assert not list(judge_precision("float32", None))
    (finding,) = judge_precision("int8", PrecisionLoss(200, 0.951, 0.949, 0.985, 0.99))
    assert "0.949 instead of 0.951 on 200 texts" in finding.what
    assert "98.5%" in finding.what
