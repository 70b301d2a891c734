"""What a check found, and how it is shown: pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["ok", "warning", "error", "skipped"]

WIDTH = 80
INDENT = 9  # the longest severity and two blanks


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` is the step, `where` what it looked at, `do` what to do about it (empty where nothing is to be done)."""

    severity: Severity
    check: str
    where: str
    what: str
    do: str = ""

    def __str__(self) -> str:
        place = f"{self.check} {self.where}" if self.where else self.check
        return f"{place}: {self.what}" + (f"; {self.do}" if self.do else "")


def ok(check: str, where: str, what: str) -> Finding:
    return Finding("ok", check, where, what)


def warning(check: str, where: str, what: str, do: str) -> Finding:
    return Finding("warning", check, where, what, do)


def error(check: str, where: str, what: str, do: str) -> Finding:
    return Finding("error", check, where, what, do)


def skipped(check: str, why: str) -> Finding:
    return Finding("skipped", check, "", why)


def shown(finding: Finding) -> str:
    """Severity and text, wrapped, later lines indented below the first."""
    return textwrap.fill(
        f"{finding.severity:<{INDENT}}{finding}",
        WIDTH,
        subsequent_indent=" " * INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def count(findings: Sequence[Finding], severity: Severity) -> int:
    return sum(finding.severity == severity for finding in findings)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "findings": [asdict(finding) for finding in findings],
        "errors": count(findings, "error"),
        "warnings": count(findings, "warning"),
    }
