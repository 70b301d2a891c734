"""As much of Kafka's protocol as it takes to say why a client cannot get in, on one blocking socket.

The client library reports every failure to connect as the same timeout. Request versions are those of Kafka 1.0, which
every broker since then understands; responses are big-endian, strings with a length of two bytes before them.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

METADATA, SASL_HANDSHAKE, API_VERSIONS, SASL_AUTHENTICATE = 3, 17, 18, 36
NO_ERROR, UNSUPPORTED_MECHANISM, ILLEGAL_SASL_STATE = 0, 33, 34
MOST_BYTES = 16_000_000  # a length above it is no length: the other side does not speak Kafka
TLS_ALERT = b"\x15\x03"


class NotKafka(Exception):
    """The other side answers, but not in Kafka's protocol."""


class Handshake(NamedTuple):
    """`code` is the broker's error code; `mechanisms` are those of the listener, where it has any."""

    code: int
    mechanisms: tuple[str, ...]


class Address(NamedTuple):
    """Where a broker tells clients to come back."""

    host: str
    port: int


class Wire:
    """Raises `NotKafka`, `ConnectionError` if the other side hangs up, and what sockets raise, `TimeoutError` too."""

    def __init__(self, sock: socket.socket, client_id: str) -> None:
        self._socket = sock
        self._client_id = client_id

    def greet(self) -> None:
        """Ask for the versions, which any listener answers, before credentials too."""
        self._ask(API_VERSIONS, 0, b"")

    def handshake(self, mechanism: str) -> Handshake:
        reader = self._ask(SASL_HANDSHAKE, 1, _string(mechanism))
        return Handshake(reader.int16(), tuple(reader.string() for _ in range(reader.int32())))

    def authenticate(self, token: bytes) -> tuple[int, str, bytes]:
        """Error code, the broker's words for it, and its answer to the token."""
        reader = self._ask(SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
        return reader.int16(), reader.string(), reader.bytes()

    def brokers(self) -> list[Address]:
        """Every broker's address on this listener."""
        reader = self._ask(METADATA, 1, struct.pack(">i", 0))
        found = []
        for _ in range(reader.int32()):
            reader.int32()  # the broker's id
            found.append(Address(reader.string(), reader.int32()))
            reader.string()  # its rack
        return found

    def _ask(self, key: int, version: int, body: bytes) -> _Reader:
        request = struct.pack(">hhi", key, version, key) + _string(self._client_id) + body
        self._socket.sendall(struct.pack(">i", len(request)) + request)
        start = self._receive(4)
        length = int.from_bytes(start, "big", signed=True)
        if start.startswith(TLS_ALERT) or not 4 <= length <= MOST_BYTES:
            raise NotKafka("it wants TLS" if start.startswith(TLS_ALERT) else "it speaks another protocol")
        reader = _Reader(self._receive(length))
        reader.int32()  # the correlation id: there is only one request at a time
        return reader

    def _receive(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            piece = self._socket.recv(count - len(received))
            if not piece:
                raise ConnectionError("the connection was closed")
            received += piece
        return bytes(received)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def int16(self) -> int:
        return int.from_bytes(self._take(2), "big", signed=True)

    def int32(self) -> int:
        return int.from_bytes(self._take(4), "big", signed=True)

    def string(self) -> str:
        """Null reads as empty."""
        return bytes(self._take(max(0, self.int16()))).decode("utf-8", "replace")

    def bytes(self) -> bytes:
        return bytes(self._take(max(0, self.int32())))

    def _take(self, count: int) -> memoryview:
        if count > len(self._data):
            raise NotKafka("its answer is cut off")
        taken, self._data = self._data[:count], self._data[count:]
        return taken


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">h", len(encoded)) + encoded
