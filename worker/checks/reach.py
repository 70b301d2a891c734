"""From a name to a broker that lets us in, one step at a time, each failure with its own words."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from kafka.errors import for_code
from kafka.net.sasl import get_sasl_mechanism

from worker.checks.wire import ILLEGAL_SASL_STATE, NO_ERROR, Address, NotKafka, Wire
from worker.kafka.security import Connection

# OpenSSL's numbers of what can be wrong with a certificate (X509_V_ERR_*).
EXPIRED, NOT_YET_VALID, OTHER_NAME, OTHER_ADDRESS = 10, 9, 62, 64


@dataclass
class Unreachable(Exception):
    """Where it stopped: the step, what is wrong, what to do."""

    step: str
    what: str
    do: str


def parse(server: str) -> Address:
    """`host:port`, `[v6]:port`, or a host alone."""
    host, colon, port = server.rpartition(":")
    if not colon or not port.isdigit():
        return Address(server, 9092)
    return Address(host.strip("[]"), int(port))


def reach(connection: Connection, server: str) -> list[Address]:
    """Resolve, connect, TLS, Kafka's greeting, SASL; the brokers' addresses then. Raises `Unreachable`.

    1 to 5 are the numbers in the body. Each network step is bounded by the connection's request timeout.
    """
    address = parse(server)
    options = connection.client_options()
    resolve(address)  # 1
    plain = connect(address, connection.request_timeout_s)  # 2
    with plain, _secured(plain, address, connection, options) as sock:  # 3
        wire = Wire(sock, connection.client_id)
        _greet(wire, connection)  # 4
        _log_in(wire, address, connection, options)  # 5
        with _answering("metadata", "the broker's log says why"):
            return wire.brokers()


def resolve(address: Address) -> None:
    """Raises `Unreachable` for a name without an address."""
    try:
        socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise Unreachable("name", f"{address.host} does not resolve", "mend the name, or DNS on this machine") from None


def connect(address: Address, timeout_s: float) -> socket.socket:
    """Raises `Unreachable` for a port that does not answer."""
    try:
        return socket.create_connection(address, timeout=timeout_s)
    except ConnectionRefusedError:
        what, do = f"port {address.port} is closed", "start the broker, or mend the port"
    except TimeoutError:
        what, do = f"port {address.port} gave no answer within {timeout_s:g} s", "look for a firewall in between"
    except OSError as error:
        what, do = f"cannot connect: {error.strerror or error}", "see the route to the broker"
    raise Unreachable("port", what, do)


@contextlib.contextmanager
def _secured(
    plain: socket.socket, address: Address, connection: Connection, options: dict[str, object]
) -> Iterator[socket.socket]:
    if "SSL" not in connection.security_protocol:
        yield plain
        return
    context = _context(options)
    try:
        secured = context.wrap_socket(plain, server_hostname=address.host)
    except ssl.SSLCertVerificationError as error:
        raise Unreachable("TLS", *_certificate(error, address)) from None
    except (ssl.SSLError, OSError) as error:
        raise Unreachable("TLS", *_handshake(error)) from None
    with secured:
        yield secured


def _context(options: dict[str, object]) -> ssl.SSLContext:
    """As the client makes its own."""
    try:
        context = ssl.create_default_context(cafile=_text(options["ssl_cafile"]))
        if options["ssl_certfile"]:
            context.load_cert_chain(
                str(options["ssl_certfile"]), _text(options["ssl_keyfile"]), _text(options["ssl_password"])
            )
    except (ssl.SSLError, OSError) as error:
        do = "see kafka.ssl_ca_file, kafka.ssl_cert_file, kafka.ssl_key_file and kafka.ssl_key_password"
        raise Unreachable("TLS", f"our certificates cannot be loaded: {_reason(error)}", do) from None
    return context


def _certificate(error: ssl.SSLCertVerificationError, address: Address) -> tuple[str, str]:
    if error.verify_code in (OTHER_NAME, OTHER_ADDRESS):
        return f"the broker's certificate is not for {address.host}", "use a name that the certificate has"
    if error.verify_code in (EXPIRED, NOT_YET_VALID):
        return f"the broker's certificate: {error.verify_message}", "renew it, or set this machine's clock"
    return f"the broker's certificate is not trusted: {error.verify_message}", "give its authority as kafka.ssl_ca_file"


def _handshake(error: OSError) -> tuple[str, str]:
    if _wants_certificate(error):
        return _NO_CERTIFICATE
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        return f"the broker refuses the handshake: {_reason(error)}", "see the broker's ssl.* settings"
    return "the port does not speak TLS", "set kafka.security_protocol to PLAINTEXT or SASL_PLAINTEXT, or mend the port"


_NO_CERTIFICATE = (
    "the broker wants a client certificate that it trusts",
    "set kafka.ssl_cert_file and kafka.ssl_key_file",
)


def _wants_certificate(error: OSError) -> bool:
    """Said in the handshake by TLS 1.2, and at the first read after it by 1.3."""
    reason = error.reason if isinstance(error, ssl.SSLError) else ""
    return any(word in (reason or "") for word in ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA"))


def _greet(wire: Wire, connection: Connection) -> None:
    tls = "SSL" in connection.security_protocol
    other = connection.security_protocol.replace("SSL", "PLAINTEXT") if tls else _with_tls(connection)
    with _answering("Kafka", f"see that it is a broker's port; with {other} in kafka.security_protocol it may answer"):
        wire.greet()


def _with_tls(connection: Connection) -> str:
    return {"PLAINTEXT": "SSL", "SASL_PLAINTEXT": "SASL_SSL"}[connection.security_protocol]


def _log_in(wire: Wire, address: Address, connection: Connection, options: dict[str, object]) -> None:
    """A listener without SASL refuses the handshake, one with it lists its mechanisms: asked in either case."""
    with _answering("SASL", "the broker's log says why"):
        code, mechanisms = wire.handshake(connection.sasl_mechanism or "")
    wanted = connection.security_protocol.startswith("SASL")
    if code == ILLEGAL_SASL_STATE and not wanted:
        return
    offered = ", ".join(mechanisms)
    if not wanted:
        do = f"set kafka.security_protocol to SASL_{connection.security_protocol}, and kafka.sasl_*"
        raise Unreachable("SASL", f"the listener wants SASL ({offered})", do)
    if code == ILLEGAL_SASL_STATE:
        plain = connection.security_protocol.removeprefix("SASL_")
        raise Unreachable("SASL", "the listener has no SASL", f"set kafka.security_protocol to {plain}")
    if code != NO_ERROR:
        what = f"the broker does not offer {connection.sasl_mechanism}, only {offered or 'nothing'}"
        raise Unreachable("SASL", what, "set kafka.sasl_mechanism to one that it offers")
    with _answering("SASL", "the broker's log says why"):
        _exchange(wire, address, options)


def _exchange(wire: Wire, address: Address, options: dict[str, object]) -> None:
    mechanism = get_sasl_mechanism(options["sasl_mechanism"])(host=address.host, **options)
    try:
        while not mechanism.is_done():
            code, words, answer = wire.authenticate(mechanism.auth_bytes())
            if code != NO_ERROR:
                raise ValueError(words or for_code(code).__name__)
            mechanism.receive(answer)
    except ValueError as error:
        do = "see kafka.sasl_username and kafka.sasl_password_file, and that the user exists for this mechanism"
        raise Unreachable("SASL", f"the credentials are refused: {error}", do) from None


@contextlib.contextmanager
def _answering(step: str, do: str) -> Iterator[None]:
    try:
        yield
    except NotKafka as error:
        raise Unreachable(step, f"the port answers, but {error}", do) from None
    except TimeoutError:
        raise Unreachable(step, "the port takes connections and does not answer", do) from None
    except OSError as error:
        if _wants_certificate(error):
            raise Unreachable("TLS", *_NO_CERTIFICATE) from None
        raise Unreachable(step, "the port hangs up", do) from None


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or type(error).__name__)


def _text(value: object) -> str | None:
    return str(value) if value else None
