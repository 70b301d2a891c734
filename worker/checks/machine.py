"""What this machine brings along: the libraries that read and sum up Kafka's batches, and the model's labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from worker.checks.finding import Finding, ok, warning
from worker.kafka.codecs import CODECS
from worker.types import Classifier, EnginePart, PrecisionLoss


def has_fast_checksums() -> bool:
    """Whether the client library found the C version of CRC-32C, which it then takes."""
    from kafka.record import util

    return util.crc32c_c is not None


def judge_codecs(found: Mapping[str, bool]) -> Finding:
    missing = [name for name, there in found.items() if not there]
    if not missing:
        return ok("codecs", "", f"{', '.join(found)} can be read")
    packages = " ".join(CODECS[name] for name in missing)
    return warning("codecs", "", f"{', '.join(missing)} cannot be read", f"install {packages}")


def judge_checksums(fast: bool) -> Finding:
    if fast:
        return ok("checksums", "", "the C version of CRC-32C is in use")
    return warning("checksums", "", "CRC-32C is computed in Python, 130 µs a record", "install crc32c")


def judge_labels(classifiers: Sequence[Classifier], placeholders: Sequence[str]) -> list[Finding]:
    """`placeholders`: labels that nobody has named, with the mapping that names them."""
    if not classifiers:
        return [
            warning("model", "labels", "the model gives none: only clusters", "train a head with `tagstream train`")
        ]
    if not placeholders:
        return [ok("model", c.name, f"{c.model}, {c.kind}, labels {', '.join(c.labels)}") for c in classifiers]
    mapping = ", ".join(f"{label}: NAME" for label in placeholders)
    what = f"the labels {', '.join(placeholders)} are placeholders"
    return [warning("model", "labels", what, f"name them in the settings with model.labels: {{{mapping}}}")]


def judge_parts(parts: Sequence[EnginePart]) -> Iterator[Finding]:
    """What a pass computes of each model, and whether padding with it."""
    for part in parts:
        computed = f"{part.model}: {part.computed} of {part.layers} layers computed for {', '.join(part.names)}"
        if part.packed:
            yield ok("model", computed, "texts are packed without padding")
        else:
            yield warning("model", computed, f"texts are padded: {part.why_padded}", "nothing, it is only slower")


def judge_precision(dtype: str, loss: PrecisionLoss | None) -> Iterator[Finding]:
    """What a lower precision costs on the user's own texts."""
    if loss is not None:
        yield ok(
            "model",
            dtype,
            f"accuracy {loss.accuracy:.3f} instead of {loss.accuracy_float32:.3f} on {loss.texts:,} texts;"
            f" {loss.agreement:.1%} of labels unchanged",
        )
