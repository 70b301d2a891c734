"""Libraries and labels."""

from __future__ import annotations

from worker.checks.machine import (
    has_fast_checksums,
    importable_codecs,
    judge_checksums,
    judge_codecs,
    judge_labels,
)
from worker.types import Classifier


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
