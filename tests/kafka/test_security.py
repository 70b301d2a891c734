"""One value that becomes the options of every client."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from worker.errors import SettingsError
from worker.kafka.security import Connection
from worker.settings import KafkaSettings


def test_a_plain_connection_needs_no_secrets() -> None:
    """Every server of the list, no TLS, no SASL."""
    options = Connection(bootstrap="a:1, b:2").client_options()
    assert options["bootstrap_servers"] == ["a:1", "b:2"]
    assert not [name for name in options if name.startswith(("ssl", "sasl"))]


def test_secrets_are_not_in_the_repr() -> None:
    """Whoever logs the connection does not log its passwords."""
    connection = Connection(bootstrap="a:1", sasl_password=SecretStr("hush"), ssl_key_password=SecretStr("hush"))
    assert "hush" not in repr(connection)


def test_the_password_may_be_in_a_file(tmp_path: Path) -> None:
    """Its last line break is not part of it."""
    file = tmp_path / "password"
    file.write_text("hush \n")
    connection = Connection(
        bootstrap="a:1",
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="me",
        sasl_password_file=file,
    )
    assert connection.client_options()["sasl_plain_password"] == "hush "


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"security_protocol": "SSL", "ssl_ca_file": Path("no/ca.pem")}, id="authorities"),
        pytest.param({"security_protocol": "SASL_PLAINTEXT", "sasl_password_file": Path("no/password")}, id="password"),
        pytest.param({"security_protocol": "SASL_PLAINTEXT"}, id="no password at all"),
    ],
)
def test_a_missing_file_is_the_setting_that_names_it(wrong: dict[str, object]) -> None:
    """The client would call it a broker that cannot be reached."""
    with pytest.raises(SettingsError, match=r"kafka\."):
        Connection(bootstrap="a:1", **wrong).client_options()  # type: ignore[arg-type]


def test_the_settings_section_has_every_name() -> None:
    """A connection is made of the section as it is."""
    settings = KafkaSettings(bootstrap="a:1", request_timeout_s=3)
    assert Connection.of(settings) == Connection(bootstrap="a:1", request_timeout_s=3)
