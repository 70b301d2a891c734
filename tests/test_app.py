"""What the composition root makes of the settings."""

from __future__ import annotations

import re

import pytest

from worker import app
from worker.settings import Settings


@pytest.mark.parametrize("pattern", ["^mails-.*", "(?i)^mails-", "mails-|comments-"])
def test_a_pattern_takes_the_replay_topic_too(pattern: str) -> None:
    """Inline flags and alternatives of the user's pattern keep their meaning beside the replay topic."""
    given = {"input": {"pattern": pattern}, "dead_letter": {"replay_topic": "again.now"}}
    whole = re.compile(app._pattern(Settings.model_validate(given)) or "")
    assert whole.match("mails-de")
    assert whole.match("again.now")
    assert not whole.match("against now")
    assert not whole.match("other")
