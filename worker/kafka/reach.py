"""From a name to a broker that lets us in, one step at a time, each failure with its own words.

The client library reports every failure to get in as the same timeout, also those that no waiting can change.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kafka.errors import for_code
from kafka.net.sasl import get_sasl_mechanism

from worker.errors import Stop
from worker.kafka.security import tls_context
from worker.kafka.wire import ILLEGAL_SASL_STATE, NO_ERROR, Address, NotKafka, Wire

SILENT = "the port takes connections and does not answer"

Options = Mapping[str, Any]  # of `Connection.client_options`

# What TLS says of a client's certificate, in OpenSSL's words.
ABOUT_CLIENT = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "ALERT_CERTIFICATE")
# OpenSSL's numbers of what can be wrong with a certificate (X509_V_ERR_*).
EXPIRED, NOT_YET_VALID, OTHER_NAME, OTHER_ADDRESS = 10, 9, 62, 64


@dataclass
class NotReached(Exception):
    """Where it stopped: the step, what is wrong, what to do. `lasting`: somebody has to mend it, waiting does not."""

    step: str
    what: str
    do: str
    lasting: bool = True

    def __str__(self) -> str:
        return f"{self.step}: {self.what}; {self.do}"


def parse(server: str) -> Address:
    """`host:port`, `[v6]:port`, or a host alone."""
    host, colon, port = server.rpartition(":")
    if not colon or not port.isdigit():
        return Address(server, 9092)
    return Address(host.strip("[]"), int(port))


def stop_if_lasting(options: Options) -> None:
    """Raise `Stop` if no server lets us in, and one for a reason that stays. Asks them one after the other."""
    servers = options["bootstrap_servers"]
    reasons: list[str] = []
    for server in servers.split(",") if isinstance(servers, str) else servers:
        try:
            reach(options, server)
            return
        except NotReached as why:
            reasons += [f"Kafka at {server}: {why}"] if why.lasting else []
    if reasons:
        raise Stop(reasons[0])


def reach(options: Options, server: str) -> list[Address]:
    """Resolve, connect, TLS, Kafka's greeting, SASL; the brokers' addresses then. Raises `NotReached`.

    1 to 5 are the numbers in the body. Each network step is bounded by the request timeout.
    """
    address = parse(server)
    resolve(address)  # 1
    plain = connect(address, _timeout_s(options))  # 2
    with plain, _secured(plain, address, options) as sock:  # 3
        wire = Wire(sock, options.get("client_id", ""))
        _greet(wire, _protocol(options))  # 4
        _log_in(wire, address, options)  # 5
        with _answering("metadata", "the broker's log says why"):
            return wire.brokers()


def resolve(address: Address) -> None:
    """Raises `NotReached` for a name without an address."""
    try:
        socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        what, do = f"{address.host} does not resolve", "mend the name, or DNS on this machine"
        raise NotReached("name", what, do, lasting=False) from None


def connect(address: Address, timeout_s: float) -> socket.socket:
    """Raises `NotReached` for a port that does not answer."""
    try:
        return socket.create_connection(address, timeout=timeout_s)
    except ConnectionRefusedError:
        what, do = f"port {address.port} is closed", "start the broker, or mend the port"
    except TimeoutError:
        what, do = f"port {address.port} gave no answer within {timeout_s:g} s", "look for a firewall in between"
    except OSError as error:
        what, do = f"cannot connect: {error.strerror or error}", "see the route to the broker"
    raise NotReached("port", what, do, lasting=False)


@contextlib.contextmanager
def _secured(plain: socket.socket, address: Address, options: Options) -> Iterator[socket.socket]:
    if "SSL" not in _protocol(options):
        yield plain
        return
    try:
        secured = tls_context(options).wrap_socket(plain, server_hostname=address.host)
    except ssl.SSLCertVerificationError as error:
        raise NotReached("TLS", *_certificate(error, address)) from None
    except (ssl.SSLError, OSError) as error:
        raise _handshake(error, address, options) from None
    with secured:
        try:
            yield secured
        except ssl.SSLError:  # TLS 1.3 tells it only when we first read
            raise _not_trusted(options) from None


def _certificate(error: ssl.SSLCertVerificationError, address: Address) -> tuple[str, str]:
    if error.verify_code in (OTHER_NAME, OTHER_ADDRESS):
        return f"the broker's certificate is not for {address.host}", "use a name that the certificate has"
    if error.verify_code in (EXPIRED, NOT_YET_VALID):
        return f"the broker's certificate: {error.verify_message}", "renew it, or set this machine's clock"
    return f"the broker's certificate is not trusted: {error.verify_message}", "give its authority as kafka.ssl_ca_file"


def _handshake(error: OSError, address: Address, options: Options) -> NotReached:
    """A plain listener just hangs up, as a broker does that is going down: it is asked again, without TLS."""
    if _is_about_us(error):
        return _not_trusted(options)
    if isinstance(error, TimeoutError):
        return NotReached("TLS", SILENT, "the broker's log says why", lasting=False)
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        what = f"the broker refuses the handshake: {_reason(error)}"
        return NotReached("TLS", what, "see the broker's ssl.* settings")
    hung_up = isinstance(error, ssl.SSLEOFError | ConnectionError)
    do = "set kafka.security_protocol to PLAINTEXT or SASL_PLAINTEXT, or mend the port"
    return NotReached("TLS", "the port does not speak TLS", do, lasting=not hung_up or _is_plain(address, options))


def _is_plain(address: Address, options: Options) -> bool:
    try:
        with connect(address, _timeout_s(options)) as sock:
            Wire(sock, options.get("client_id", "")).greet()
            return True
    except (NotReached, NotKafka, OSError):
        return False


def _is_about_us(error: OSError) -> bool:
    """Said in the handshake by TLS 1.2, and at the first read after it by 1.3."""
    reason = (error.reason if isinstance(error, ssl.SSLError) else "") or ""
    return any(
        word in reason for word in ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "ALERT_CERTIFICATE")
    )


def _not_trusted(options: Options) -> NotReached:
    if options.get("ssl_certfile"):
        what = "the broker does not trust our client certificate"
        return NotReached("TLS", what, "set kafka.ssl_cert_file to one of an authority that it trusts")
    what = "the broker wants a client certificate that it trusts"
    return NotReached("TLS", what, "set kafka.ssl_cert_file and kafka.ssl_key_file")


def _greet(wire: Wire, protocol: str) -> None:
    other = {"PLAINTEXT": "SSL", "SASL_PLAINTEXT": "SASL_SSL", "SSL": "PLAINTEXT", "SASL_SSL": "SASL_PLAINTEXT"}
    do = f"see that it is a broker's port; with {other[protocol]} in kafka.security_protocol it may answer"
    with _answering("Kafka", do):
        wire.greet()


def _log_in(wire: Wire, address: Address, options: Options) -> None:
    """A listener without SASL refuses the handshake, one with it lists its mechanisms: asked in either case."""
    chosen, protocol = options.get("sasl_mechanism") or "", _protocol(options)
    with _answering("SASL", "the broker's log says why"):
        code, mechanisms = wire.handshake(chosen)
    wanted = protocol.startswith("SASL")
    if code == ILLEGAL_SASL_STATE and not wanted:
        return
    offered = ", ".join(mechanisms)
    if not wanted:
        do = f"set kafka.security_protocol to SASL_{protocol}, and kafka.sasl_*"
        raise NotReached("SASL", f"the listener wants SASL ({offered})", do)
    if code == ILLEGAL_SASL_STATE:
        do = f"set kafka.security_protocol to {protocol.removeprefix('SASL_')}"
        raise NotReached("SASL", "the listener has no SASL", do)
    if code != NO_ERROR:
        what = f"the broker does not offer {chosen}, only {offered or 'nothing'}"
        raise NotReached("SASL", what, "set kafka.sasl_mechanism to one that it offers")
    with _answering("SASL", "the broker's log says why"):
        _exchange(wire, address, options)


def _exchange(wire: Wire, address: Address, options: Options) -> None:
    mechanism = get_sasl_mechanism(options["sasl_mechanism"])(host=address.host, **options)
    try:
        while not mechanism.is_done():
            code, words, answer = wire.authenticate(mechanism.auth_bytes())
            if code != NO_ERROR:
                raise ValueError(words or for_code(code).__name__)
            mechanism.receive(answer)
    except ValueError as error:
        do = "see kafka.sasl_username and kafka.sasl_password_file, and that the user exists for this mechanism"
        raise NotReached("SASL", f"the credentials are refused: {error}", do) from None


@contextlib.contextmanager
def _answering(step: str, do: str) -> Iterator[None]:
    try:
        yield
    except NotKafka as error:
        raise NotReached(step, f"the port answers, but {error}", do) from None
    except TimeoutError:
        raise NotReached(step, SILENT, do, lasting=False) from None
    except OSError as error:
        if _is_about_us(error):
            raise
        raise NotReached(step, "the port hangs up", do, lasting=False) from None


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or type(error).__name__)


def _protocol(options: Options) -> str:
    return str(options.get("security_protocol", "PLAINTEXT"))


def _timeout_s(options: Options) -> float:
    return float(options["request_timeout_ms"]) / 1000
