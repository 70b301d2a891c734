"""Settings from three layers, and the one line that says what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from worker.config import load
from worker.errors import SettingsError
from worker.settings import Settings

SECRET = "hunter2-and-more"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "tagstream.yaml"


def _error(path: Path | None, assignments: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> str:
    """The line for people, without the folder of the test."""
    with pytest.raises(SettingsError) as raised:
        load(path, assignments, environment or {})
    line = str(raised.value)
    assert "\n" not in line
    return line.replace(f"{path.parent}/", "") if path else line


WRONG_FILES = [
    pytest.param(
        "kafka: {bootstap: x}",
        "unknown setting kafka.bootstap in tagstream.yaml; did you mean kafka.bootstrap?",
        id="nearest-key",
    ),
    pytest.param("kafak: {}", "unknown setting kafak in tagstream.yaml; did you mean kafka?", id="nearest-section"),
    pytest.param("zzz: {}", "unknown setting zzz in tagstream.yaml; see docs/settings.md", id="nothing-near"),
    pytest.param(
        "policy: {review: {topik: x}}",
        "policy.review.topic in tagstream.yaml: field required",
        id="missing-below-a-section",
    ),
    pytest.param(
        "policy: {review: {topic: x, bellow: 1}}",
        "unknown setting policy.review.bellow in tagstream.yaml; did you mean policy.review.below?",
        id="nearest-key-of-an-optional-section",
    ),
    pytest.param(
        "input: {topics: [a, {topic: b, fields: {txt: body}}]}",
        "unknown setting input.topics.1.fields.txt in tagstream.yaml; did you mean input.topics.1.fields.text?",
        id="nearest-key-inside-a-list",
    ),
    pytest.param(
        "input: {topics: [a, {topic: b, format: xml}]}",
        "input.topics.1.format in tagstream.yaml: input should be 'json', 'text' or 'mail' (got 'xml')",
        id="value-inside-a-list",
    ),
    pytest.param(
        "input: {topics: [a, b/c]}",
        "input.topics.1.topic in tagstream.yaml: string should match pattern '^[a-zA-Z0-9._-]{1,249}$' (got 'b/c')",
        id="name-inside-a-list",
    ),
    pytest.param(
        "input: {topics: comments}",
        "input.topics in tagstream.yaml: must be a list, e.g. [comments, mails] (got 'comments')",
        id="no-list",
    ),
    pytest.param(
        "batch: {target_s: fast}",
        "batch.target_s in tagstream.yaml: input should be a valid number, unable to parse string as a number"
        " (got 'fast')",
        id="wrong-type",
    ),
    pytest.param(
        "http: {port: 70000}",
        "http.port in tagstream.yaml: input should be less than or equal to 65535 (got 70000)",
        id="out-of-bounds",
    ),
    pytest.param(
        "kafka: {security_protocol: SASL_SSL, sasl_password: hunter2-and-more}",
        "kafka in tagstream.yaml: kafka.security_protocol with SASL needs kafka.sasl_mechanism and kafka.sasl_username",
        id="sasl-not-whole",
    ),
    pytest.param(
        "kafka: {sasl_password: [hunter2-and-more]}",
        "kafka.sasl_password in tagstream.yaml: input should be a valid string",
        id="password-of-wrong-type",
    ),
    pytest.param(
        "kafka: {sasl_password: [12345]}",
        "kafka.sasl_password in tagstream.yaml: input should be a valid string",
        id="password-of-digits",
    ),
    pytest.param("- kafka\n", "tagstream.yaml must hold sections such as `kafka:`, not a list", id="a-list-at-the-top"),
    pytest.param("just text", "tagstream.yaml must hold sections such as `kafka:`, not a str", id="plain-text"),
    pytest.param(
        "kafka:\n  group_id: [a\nhttp: {}\n",
        "tagstream.yaml line 3 is not YAML: expected ',' or ']', but got ':'",
        id="broken-yaml",
    ),
    pytest.param("a: \x00", "tagstream.yaml is not YAML: unreadable", id="control-character"),
    pytest.param(
        "input: {start: 2024-13-45}",
        "tagstream.yaml is not YAML: month must be in 1..12; quote the value",
        id="impossible-date",
    ),
]


@pytest.mark.parametrize(("content", "expected"), WRONG_FILES)
def test_a_wrong_file_gives_one_line(config: Path, content: str, expected: str) -> None:
    """What, where and what to do, with the nearest known key and the value, but never a password."""
    config.write_text(content)
    line = _error(config)
    assert line == expected
    assert SECRET not in line


WRONG_ASSIGNMENTS = [
    pytest.param(
        "kafka.group=x", "unknown setting kafka.group in --set; did you mean kafka.group_id?", id="nearest-key"
    ),
    pytest.param(
        "http.port=x",
        "http.port in --set: input should be a valid integer, unable to parse string as an integer (got 'x')",
        id="value",
    ),
    pytest.param(
        "model.device=gpu",
        "model.device in --set: string should match pattern '^(auto|cpu|cuda(:\\d+)?)$' (got 'gpu')",
        id="pattern",
    ),
    pytest.param("http.port", "--set http.port: write --set section.key=value", id="no-value"),
    pytest.param("sasl_password=hunter2-and-more", "--set sasl_password: write --set section.key=value", id="no-dot"),
    pytest.param("http.host=[", "--set http.host: the value is not YAML; quote it", id="not-yaml"),
    pytest.param("input.start=2024-13-45", "--set input.start: the value is not YAML; quote it", id="no-date"),
    pytest.param(
        "delivery.drain_timeout_s=45",
        "delivery.drain_timeout_s must be less than kafka.session_timeout_s (in the settings)",
        id="between-sections",
    ),
]


@pytest.mark.parametrize(("assignment", "expected"), WRONG_ASSIGNMENTS)
def test_a_wrong_assignment_gives_one_line(assignment: str, expected: str) -> None:
    """The line names --set as the place; a value that might be a secret is not repeated."""
    assert _error(None, [assignment]) == expected


def test_a_wrong_variable_gives_one_line() -> None:
    """The environment is named as the place, and the key as in the file."""
    assert _error(None, (), {"TAGSTREAM_HTTP__PROT": "1"}) == (
        "unknown setting http.prot in the environment; did you mean http.port?"
    )
    assert _error(None, (), {"TAGSTREAM_HTTP__PORT": "["}) == ("TAGSTREAM_HTTP__PORT: the value is not YAML; quote it")


def test_the_place_named_is_the_layer_that_won(config: Path) -> None:
    """Where several layers set a key, the line names the one whose value was refused."""
    config.write_text("http: {port: 1}")
    assert _error(config, ["http.port=-1"], {"TAGSTREAM_HTTP__PORT": "2"}).startswith("http.port in --set:")
    assert _error(config, (), {"TAGSTREAM_HTTP__PORT": "-1"}).startswith("http.port in the environment:")


def test_file_then_environment_then_assignments(config: Path) -> None:
    """Each layer overrides the one before key by key, and leaves the other keys of a section alone."""
    config.write_text("kafka: {group_id: file, client_id: file}\nhttp: {port: 1}\npolicy: {routes: {spam: a, ham: b}}")
    environment = {"TAGSTREAM_KAFKA__GROUP_ID": "environment", "TAGSTREAM_HTTP__PORT": "2", "TAGSTREAM_TEST": "no"}
    found = load(config, ["http.port=3", "policy.routes.spam=c"], environment)
    assert found.kafka.client_id == "file"
    assert found.kafka.group_id == "environment"
    assert found.http.port == 3
    assert found.policy.routes == {"spam": "c", "ham": "b"}


def test_values_outside_of_the_file_are_yaml() -> None:
    """Lists, mappings, numbers and nulls can be given on the command line and in the environment."""
    found = load(None, ["input.topics=[a, {topic: b, format: text}]"], {"TAGSTREAM_BATCH__TARGET_S": "0.5"})
    assert [(t.topic, t.format) for t in found.input.topics] == [("a", None), ("b", "text")]
    assert found.batch.target_s == 0.5


def test_no_file_and_an_empty_file_are_the_defaults(config: Path) -> None:
    """Nothing has to be set."""
    config.write_text("# nothing yet\n")
    assert load(None, (), {}) == load(config, (), {}) == Settings()


def test_a_missing_file_is_named(config: Path) -> None:
    """The line says which file, why, and how to name another."""
    line = _error(config)
    assert line == "cannot read tagstream.yaml: No such file or directory; name an existing file with --config"


def test_a_file_that_is_not_utf8_is_refused(config: Path) -> None:
    """A file saved in another charset is not guessed at."""
    config.write_bytes("kafka: {group_id: grün}".encode("latin-1"))
    assert _error(config) == "tagstream.yaml is not UTF-8 text; save it as UTF-8"


@pytest.mark.parametrize("password", ["12345", "a #b", "*x", "[", "yes", "a: b", '"quoted"'])
def test_a_password_is_taken_to_the_letter(password: str) -> None:
    """A password from the environment or --set is no YAML: nothing is cut off, converted or refused."""
    of_environment = load(None, (), {"TAGSTREAM_KAFKA__SASL_PASSWORD": password})
    of_assignment = load(None, [f"kafka.ssl_key_password={password}"], {})
    assert of_environment.kafka.sasl_password is not None
    assert of_environment.kafka.sasl_password.get_secret_value() == password
    assert of_assignment.kafka.ssl_key_password is not None
    assert of_assignment.kafka.ssl_key_password.get_secret_value() == password


def test_secrets_print_as_stars() -> None:
    """Neither the settings' repr nor their JSON holds a password."""
    found = load(None, [f"kafka.sasl_password={SECRET}", f"kafka.ssl_key_password={SECRET}"], {})
    for printed in (repr(found), str(found), found.model_dump_json(), str(found.model_dump())):
        assert SECRET not in printed
        assert "***" in printed
