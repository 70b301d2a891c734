"""The frame that schema-registry serialisers put before a value: a zero byte, then four bytes of schema id."""

from __future__ import annotations

from schemas import Reason
from worker.errors import Skip

_FRAME_BYTES = 5
# What framed JSON can begin with, byte-order marks included. An Avro record that begins with a string never does:
# `{` and `[` would be negative lengths there.
_JSON_STARTS = (b"{", b"[", b'"', b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def unframe(value: bytes) -> bytes:
    """The JSON behind a frame, or the value itself where there is none. Raises `Skip` for framed Avro or Protobuf."""
    if not value.startswith(b"\0") or len(value) < _FRAME_BYTES:
        return value
    payload = value[_FRAME_BYTES:]
    if payload.lstrip().startswith(_JSON_STARTS):
        return payload
    schema_id = int.from_bytes(value[1:_FRAME_BYTES], "big")
    raise Skip(
        Reason.UNSUPPORTED_FRAMING,
        f"the value is framed with schema id {schema_id} and is not JSON (Avro or Protobuf?); "
        "only JSON is read behind schema-registry framing: have the producer write JSON",
    )
