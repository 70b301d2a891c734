"""How to reach Kafka: one value that becomes the options of every client, with its secrets masked."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from worker.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Field names are those of the settings section `kafka`; `SecretStr` masks itself in the repr."""

    bootstrap: str
    client_id: str = "tagstream"
    security_protocol: str = "PLAINTEXT"
    ssl_ca_file: Path | None = None
    ssl_cert_file: Path | None = None
    ssl_key_file: Path | None = None
    ssl_key_password: SecretStr | None = None
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: Path | None = None
    request_timeout_s: float = 10.0

    @classmethod
    def of(cls, source: object) -> Connection:
        """From any value that has attributes of these names."""
        return cls(**{field.name: getattr(source, field.name) for field in fields(cls)})

    @property
    def servers(self) -> list[str]:
        return [server.strip() for server in self.bootstrap.split(",") if server.strip()]

    def client_options(self) -> dict[str, Any]:
        """Options that consumer, producer and admin client share. Raises `SettingsError` for an unreadable file."""
        timeout_ms = round(self.request_timeout_s * 1000)
        return {
            "bootstrap_servers": self.servers,
            "client_id": self.client_id,
            "request_timeout_ms": timeout_ms,
            "bootstrap_timeout_ms": timeout_ms,
            "reconnect_backoff_max_ms": 2000,  # the library's 30 s would outlast most broker restarts
            "security_protocol": self.security_protocol,
            **self._tls_options(),
            **self._sasl_options(),
        }

    def _tls_options(self) -> dict[str, Any]:
        if "SSL" not in self.security_protocol:
            return {}
        options = {
            "ssl_cafile": _existing(self.ssl_ca_file, "kafka.ssl_ca_file"),
            "ssl_certfile": _existing(self.ssl_cert_file, "kafka.ssl_cert_file"),
            "ssl_keyfile": _existing(self.ssl_key_file, "kafka.ssl_key_file"),
            # Without any, OpenSSL asks for one on the terminal and waits.
            "ssl_password": self.ssl_key_password.get_secret_value() if self.ssl_key_password else "",
        }
        tls_context(options)
        return options

    def _sasl_options(self) -> dict[str, Any]:
        if not self.security_protocol.startswith("SASL"):
            return {}
        return {
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self._password(),
        }

    def _password(self) -> str:
        if self.sasl_password is not None:
            return self.sasl_password.get_secret_value()
        if self.sasl_password_file is None:
            raise SettingsError("SASL needs a password: set kafka.sasl_password_file or kafka.sasl_password")
        try:
            return self.sasl_password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot read kafka.sasl_password_file {self.sasl_password_file}: {error}") from None


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """As the library makes its own, which would try again for ever. Raises `SettingsError` for a file that is wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority, certificate, key = options["ssl_cafile"], options["ssl_certfile"], options["ssl_keyfile"]
    try:
        if authority:
            context.load_verify_locations(authority)
        else:
            context.load_default_certs()
    except (ssl.SSLError, OSError):
        raise SettingsError(f"kafka.ssl_ca_file {authority} holds no certificate in PEM form") from None
    try:
        if certificate:
            context.load_cert_chain(certificate, key, options["ssl_password"])
    except (ssl.SSLError, OSError):
        where = f"kafka.ssl_cert_file {certificate} and kafka.ssl_key_file {key or certificate}"
        raise SettingsError(f"{where} do not go together, or kafka.ssl_key_password is wrong") from None
    return context


def _existing(path: Path | None, setting: str) -> str | None:
    """The library would report a missing file as a broker that cannot be reached."""
    if path is not None and not path.is_file():
        raise SettingsError(f"{setting} {path} is not a file")
    return str(path) if path else None
