"""A broker that asks who you are: TLS, mutual TLS, SASL and ACLs on one broker, and the settings to get in.

`anna` may do everything, `bert` what a test grants; whoever comes without a name, as tests do, may do everything too.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tests.kafka.broker import KafkaServer
from worker.kafka.security import Connection

PASSWORDS = {"anna": "right", "bert": "sesame"}
KEY_PASSWORD = "of the key"
LISTENERS = {"SASL": "SASL_PLAINTEXT", "SASL_TLS": "SASL_SSL", "TLS": "SSL", "MUTUAL": "SSL"}
PLAIN_USERS = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
PLAIN_LOGIN = f"org.apache.kafka.common.security.plain.PlainLoginModule required {PLAIN_USERS};"
SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates for 127.0.0.1 with the `openssl` command, and trusts itself."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._own = self._make(name, "-x509")
        self.certificate = self._own.certificate

    def issue(self, name: str, password: str | None = None) -> Identity:
        """With a password the key is encrypted."""
        signed = ["-x509", "-CA", str(self.certificate), "-CAkey", str(self._own.key)]
        return self._make(name, *signed, "-addext", "basicConstraints=CA:FALSE", password=password)

    def _make(self, name: str, *options: str, password: str | None = None) -> Identity:
        made = Identity(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2", "-subj", f"/CN={name}"]
        files = ["-keyout", str(made.key), "-out", str(made.certificate)]
        names = ["-addext", "subjectAltName=IP:127.0.0.1"]
        locked = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        command = ["openssl", "req", *options, *kind, *names, *locked, *files]
        subprocess.run(command, check=True, capture_output=True)
        return made


class Secured:
    """The broker, not started yet, and connections to it."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory, "authority")
        self.stranger = Authority(directory, "stranger")
        self.directory = directory
        self.mallory = self.stranger.issue("mallory")
        self.anna = self.authority.issue("anna", KEY_PASSWORD)
        own = self.authority.issue("broker")
        store = directory / "store.pem"
        store.write_text(own.key.read_text() + own.certificate.read_text())
        self.server = KafkaServer(
            directory=directory / "kafka",
            settings=_settings(store, self.authority.certificate),
            listeners=LISTENERS,
            scram=PASSWORDS,
        )

    def plain(self, **more: Any) -> Connection:
        """No name, no encryption: what tests prepare and look with."""
        return Connection(**{"bootstrap": self.server.bootstrap, **more})

    def sasl(self, user: str, *, password: str | None = None, mechanism: str = "PLAIN", **more: Any) -> Connection:
        return Connection(
            **{
                "bootstrap": self.server.address("SASL"),
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": mechanism,
                "sasl_username": user,
                "sasl_password": SecretStr(password or PASSWORDS[user]),
                **more,
            }
        )

    def sasl_tls(self, user: str, *, mechanism: str = "SCRAM-SHA-512", **more: Any) -> Connection:
        secured = {"bootstrap": self.server.address("SASL_TLS"), "security_protocol": "SASL_SSL"}
        return self.sasl(user, mechanism=mechanism, **{**secured, "ssl_ca_file": self.authority.certificate, **more})

    def tls(self, **more: Any) -> Connection:
        return Connection(
            **{
                "bootstrap": self.server.address("TLS"),
                "security_protocol": "SSL",
                "ssl_ca_file": self.authority.certificate,
                **more,
            }
        )

    def mutual(self, identity: Identity | None, **more: Any) -> Connection:
        """Without an identity: a client that has no certificate."""
        shown = {"ssl_cert_file": identity.certificate, "ssl_key_file": identity.key} if identity else {}
        locked = {"ssl_key_password": SecretStr(KEY_PASSWORD)} if identity == self.anna else {}
        return self.tls(**{"bootstrap": self.server.address("MUTUAL"), **shown, **locked, **more})


def _settings(store: Path, authority: Path) -> dict[str, str]:
    found = {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority),
        "listener.name.mutual.ssl.client.auth": "required",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:anna;User:CN=anna",
    }
    for listener in ("sasl", "sasl_tls"):
        found[f"listener.name.{listener}.plain.sasl.jaas.config"] = PLAIN_LOGIN
        for mechanism in ("scram-sha-256", "scram-sha-512"):
            found[f"listener.name.{listener}.{mechanism}.sasl.jaas.config"] = SCRAM_LOGIN
    return found
