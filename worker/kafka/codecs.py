"""The libraries behind Kafka's codecs: dependencies of tagstream; where one is missing, that is said in one line.

The client library tells it by an error in the middle of a poll, after which that consumer never returns.
"""

from __future__ import annotations

from worker.errors import Stop

# What brings each codec, as a person would install it.
CODECS = {"gzip": "Python with zlib", "snappy": "python-snappy", "lz4": "lz4", "zstd": "zstandard"}


def importable_codecs() -> dict[str, bool]:
    """As the client library finds them."""
    from kafka import codec

    return {name: bool(getattr(codec, f"has_{name}")()) for name in CODECS}


def unreadable(detail: str) -> Stop:
    """The decision about input in a codec that cannot be read; `detail` is the client library's, which names it."""
    name = next((name for name in CODECS if f" {name} " in f" {detail} "), None)
    if name is None:
        return Stop(f"the input is compressed in a way that this version cannot read ({detail}): update tagstream")
    return Stop(f"the input is compressed with {name}, whose library is missing: install {CODECS[name]}")


def refuse_missing(compression: str) -> None:
    """Raises `Stop` for output in a codec that cannot be written; "none" always can."""
    if not importable_codecs().get(compression, True):
        raise Stop(
            f"output.compression: {compression} has no library here: install {CODECS[compression]}, or choose another"
        )
