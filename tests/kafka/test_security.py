"""One value that becomes the options of every client, and what becomes of right and wrong ones on a real broker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.kafka.broker import free_port
from tests.kafka.parts import values
from tests.kafka.passes import Site, as_assignments
from tests.kafka.secured import Secured
from worker.cli.check import check
from worker.config import load
from worker.errors import SettingsError, Stop, Unreachable
from worker.kafka.client import make_consumer, make_producer
from worker.kafka.reach import reach, stop_if_lasting
from worker.kafka.security import Connection
from worker.kafka.topics import TopicAdmin, TopicSpec
from worker.settings import KafkaSettings

Way = Callable[[Secured], Connection]
IMPATIENT = {"request_timeout_s": 1.0}  # for what is refused: the library tries again for so long
RIGHT: dict[str, Way] = {
    "SASL PLAIN": lambda s: s.sasl("anna"),
    "SCRAM-SHA-256": lambda s: s.sasl("anna", mechanism="SCRAM-SHA-256"),
    "SCRAM-SHA-512 over TLS": lambda s: s.sasl_tls("anna"),
    "TLS": lambda s: s.tls(),
    "mutual TLS, key with a password": lambda s: s.mutual(s.anna),
}
WRONG: dict[str, tuple[Way, str]] = {
    "wrong password": (
        lambda s: s.sasl("anna", password="a-wrong-one", **IMPATIENT),
        "SASL: the credentials are refused",
    ),
    "wrong password, SCRAM over TLS": (
        lambda s: s.sasl_tls("anna", password="a-wrong-one", **IMPATIENT),
        "SASL: the credentials are refused",
    ),
    "mechanism not offered": (
        lambda s: s.sasl("anna", mechanism="SCRAM-SHA-512", **IMPATIENT),
        "does not offer SCRAM-SHA-512, only",
    ),
    "SASL to a port without": (
        lambda s: s.sasl("anna", bootstrap=s.server.bootstrap, **IMPATIENT),
        "the listener has no SASL; set kafka.security_protocol to PLAINTEXT",
    ),
    "no SASL to a SASL port": (
        lambda s: s.plain(bootstrap=s.server.address("SASL"), **IMPATIENT),
        "set kafka.security_protocol to SASL_PLAINTEXT",
    ),
    "authority unknown": (
        lambda s: s.tls(ssl_ca_file=s.stranger.certificate, **IMPATIENT),
        "give its authority as kafka.ssl_ca_file",
    ),
    "no client certificate": (
        lambda s: s.mutual(None, **IMPATIENT),
        "set kafka.ssl_cert_file and kafka.ssl_key_file",
    ),
    "client certificate of another authority": (
        lambda s: s.mutual(s.mallory, **IMPATIENT),
        "the broker does not trust our client certificate",
    ),
    "plain to a TLS port": (
        lambda s: s.plain(bootstrap=s.server.address("TLS"), **IMPATIENT),
        "it wants TLS",
    ),
    "TLS to a plain port": (
        lambda s: s.tls(bootstrap=s.server.bootstrap, **IMPATIENT),
        "the port does not speak TLS",
    ),
}
wrong_ways = pytest.mark.parametrize(("way", "words"), WRONG.values(), ids=WRONG)


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


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        pytest.param({"ssl_ca_file": "anna.key"}, "kafka.ssl_ca_file", id="no certificate in the authorities' file"),
        pytest.param({"ssl_key_password": None}, "kafka.ssl_key_password", id="key locked, no password"),
        pytest.param({"ssl_key_password": SecretStr("no")}, "kafka.ssl_key_password", id="key locked, wrong password"),
        pytest.param({"ssl_key_file": "mallory.key"}, "do not go together", id="somebody else's key"),
    ],
)
def test_a_wrong_file_is_the_setting_that_names_it(secured: Secured, wrong: dict[str, object], words: str) -> None:
    """Nothing asks for a password on the terminal, and the library does not try again for ever."""
    found = {name: secured.directory / file if isinstance(file, str) else file for name, file in wrong.items()}
    with pytest.raises(SettingsError, match=words):
        secured.mutual(secured.anna, **found).client_options()


@pytest.mark.parametrize("way", RIGHT.values(), ids=RIGHT)
def test_the_right_settings_open_every_kind_of_client(secured: Secured, unique: Callable[[str], str], way: Way) -> None:
    """Check, admin, producer and consumer get in, are sent back to the same listener, and can read what is written."""
    topic, options = unique("secret"), way(secured).client_options()
    (address,) = reach(options, way(secured).bootstrap)
    assert f"{address.host}:{address.port}" == way(secured).bootstrap
    with TopicAdmin(way(secured)) as admin:
        admin.create([TopicSpec(topic, "output", 1, 1)])
    producer = make_producer(options, compression="none", delivery_timeout_s=12.0)
    producer.send(topic, value=b"hello").get(10.0)
    producer.close()
    consumer = make_consumer(options, group_id=None)
    assert consumer.partitions_for_topic(topic) == {0}
    consumer.close()
    assert values(secured.server.bootstrap, topic) == [b"hello"]


@pytest.mark.parametrize(
    "way",
    [lambda s: s.sasl_tls("anna", mechanism="SCRAM-SHA-256"), lambda s: s.mutual(s.anna)],
    ids=["SCRAM over TLS", "mutual TLS"],
)
def test_a_worker_runs_exactly_once_over_tls(secured: Secured, unique: Callable[[str], str], way: Way) -> None:
    """Every record comes out once, and the group stands at the end."""
    site = Site(secured.server.bootstrap, unique)
    site.run(way(secured))
    assert site.finished()


@wrong_ways
def test_a_client_that_is_refused_stops_with_the_reason(secured: Secured, way: Way, words: str) -> None:
    """Not `Unreachable`, which a worker waits for: one line that says what and what to do, without the password."""
    with pytest.raises(Stop, match=words) as raised:
        TopicAdmin(way(secured))
    line = str(raised.value)
    assert not isinstance(raised.value, Unreachable)
    assert line.startswith(f"Kafka at {way(secured).bootstrap}: ")
    assert "; " in line
    assert "\n" not in line
    assert "a-wrong-one" not in line


@wrong_ways
def test_check_finds_what_a_worker_would_stop_with(secured: Secured, tmp_path: Path, way: Way, words: str) -> None:
    """The broker's line is an error, and what needs a broker is skipped."""
    (tmp_path / "tagstream.json").write_text("{")  # refused before a process is started for the model
    settings = load(None, [f"model.path={tmp_path}", *as_assignments(way(secured))], {})
    (found,) = [finding for finding in check(settings) if finding.check == "broker"]
    assert (found.severity, found.where) == ("error", way(secured).bootstrap)
    assert words in str(found)


def test_a_worker_waits_as_long_as_one_server_may_come_back(secured: Secured) -> None:
    """It stops only where none lets it in and one refuses it; servers that are down are waited for."""
    closed, refusing = f"127.0.0.1:{free_port()}", secured.server.address("TLS")

    def ask(*servers: str) -> None:
        stop_if_lasting(secured.plain(bootstrap=",".join(servers), **IMPATIENT).client_options())

    ask(closed)
    ask(closed, refusing, secured.server.bootstrap)
    with pytest.raises(Stop, match=refusing):
        ask(closed, refusing)


def test_a_command_that_is_refused_ends_with_one_line(secured: Secured) -> None:
    """Exit code 1, the line on stderr, nothing on stdout."""
    given = as_assignments(secured.sasl("anna", password="a-wrong-one", **IMPATIENT))
    sets = [f"--set={assignment}" for assignment in given]
    command = [sys.executable, "-m", "worker.cli.main", "topics", "describe", *sets]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout, len(run.stderr.splitlines())) == (1, "", 1)
    assert "the credentials are refused" in run.stderr
