"""What `tagstream check` finds before it asks a broker."""

from __future__ import annotations

import sys

import pytest

from worker.checks.finding import Finding
from worker.cli.check import check
from worker.settings import Settings


def languages() -> Finding:
    """The finding about them, which comes before the model is looked at."""
    settings = Settings.model_validate({"text": {"identify_language": True}})
    return next(finding for finding in check(settings) if finding.check == "languages")


def test_languages_are_looked_at_if_asked_for() -> None:
    """With the library there all is well."""
    pytest.importorskip("py3langid", reason="needs the extra: pip install 'tagstream[text]'")
    found = languages()
    assert (found.severity, found.do) == ("ok", "")


def test_a_missing_library_for_languages_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it says what to install."""
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    found = languages()
    assert (found.severity, found.do) == ("error", "pip install 'tagstream[text]'")
    assert found.what == "text.identify_language needs the package py3langid, which is missing"
