"""What is done to a text before a model sees it: the same code for training and for the worker.

A model goes with the preparation that it was trained with. Its `tagstream.json` records it, and a worker whose settings
say otherwise is refused: a model that reads lower case only would be wrong on most texts, and nobody would be told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property, partial
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from worker.errors import SettingsError
from worker.text.markup import to_lines
from worker.text.masking import MASKS, Masked
from worker.text.normal import normalize
from worker.text.redaction import Redacted, Redaction
from worker.text.replies import strip_quotes, strip_signature
from worker.text.stopwords import stop_words, without_punctuation, without_words

# Part of the fingerprint: raise it with any change of what a step gives, for models trained before it differ.
CODE_VERSION = 1

Step = Callable[[str], str]


@dataclass(frozen=True)
class Preparation:
    """Options of the same names as in `text` of the settings; called with a text it gives the prepared one.

    Without any option the text comes back as it is. Pure, any thread; takes time linear in the text. `redact` is what
    is redacted before the model. Raises `SettingsError` where a library or a list of words is missing.
    """

    normalize: Literal["none", "NFC", "NFKC"] = "none"
    strip_html: bool = False
    strip_quotes: bool = False
    strip_signatures: bool = False
    redact: tuple[Redacted, ...] = ()
    phone_regions: tuple[str, ...] = ()
    mask: tuple[Masked, ...] = ()
    lowercase: bool = False
    strip_punctuation: bool = False
    stop_words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Sets, in an order of their own: how they were written down changes nothing."""
        for name in ("redact", "phone_regions", "mask", "stop_words"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))
        if "phones" not in self.redact:
            object.__setattr__(self, "phone_regions", ())
        _ = self.steps

    def __call__(self, text: str) -> str:
        for step in self.steps:
            text = step(text)
        return text

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """In their order: lines are needed to find quotes, cases and marks to find what is redacted or masked."""
        form = self.normalize
        steps: list[Step | None] = [
            to_lines if self.strip_html else None,
            partial(normalize, form=form) if form != "none" else None,
            strip_quotes if self.strip_quotes else None,
            strip_signature if self.strip_signatures else None,
            Redaction(self.redact, self.phone_regions) if self.redact else None,
            *(step for name, step in MASKS.items() if name in self.mask),
            str.lower if self.lowercase else None,
            without_punctuation if self.strip_punctuation else None,
            partial(without_words, words=self._words) if self.stop_words else None,
        ]
        return tuple(step for step in steps if step)

    @cached_property
    def fingerprint(self) -> str:
        """Hex, the same in every version of Python; changes with each option, the code and the words of the lists."""
        known: dict[str, Any] = {"code": CODE_VERSION, **self.to_record()}
        if self.stop_words:
            known["words"] = sorted(self._words)
        return hashlib.sha256(json.dumps(known, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:16]

    def to_record(self) -> dict[str, Any]:
        """The options that differ from none, as they are written into `tagstream.json` beside the fingerprint."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value != _DEFAULTS[name]
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Preparation:
        """Raises `SettingsError` for options that this version does not have."""
        unknown = sorted(set(record) - set(_DEFAULTS))
        if unknown:
            raise SettingsError(
                f"the model needs the preparation {unknown[0]!r}; use the tagstream it was trained with"
            )
        try:
            return TypeAdapter(cls).validate_python(dict(record))
        except ValidationError as error:
            name = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise SettingsError(f"the model's preparation has a wrong {name}; train it again") from None

    @cached_property
    def _words(self) -> frozenset[str]:
        return stop_words(self.stop_words)


_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Preparation)}


def recorded(preparation: Preparation) -> dict[str, Any]:
    """What a model's `tagstream.json` holds under `preparation`."""
    return {"options": preparation.to_record(), "fingerprint": preparation.fingerprint}


def refuse_mismatch(of_model: Mapping[str, Any] | None, of_settings: Preparation) -> None:
    """Raises `SettingsError`, one line, where the settings prepare texts in another way than the training did.

    `of_model` is what `recorded` gave; None, for a model from elsewhere, goes with any settings.
    """
    if of_model is None or of_model.get("fingerprint") == of_settings.fingerprint:
        return
    trained = Preparation.of_record(of_model.get("options") or {})
    differing = [name for name in _DEFAULTS if getattr(trained, name) != getattr(of_settings, name)]
    if not differing:
        raise SettingsError(
            "the model was trained on texts prepared by another version of tagstream or of its word lists:"
            " train it again, or use the version that it was trained with"
        )
    wanted = ", ".join(f"{_setting(name)} {_shown(getattr(trained, name))}" for name in differing)
    held = ", ".join(_shown(getattr(of_settings, name)) for name in differing)
    raise SettingsError(f"the model was trained with {wanted}; the settings say {held}: set them as in training")


def _setting(name: str) -> str:
    return "text.redact (with text.redact_before_model)" if name == "redact" else f"text.{name}"


def _shown(value: Any) -> str:
    return (
        f"[{', '.join(value)}]" if isinstance(value, tuple) else str(value).lower() if value in (True, False) else value
    )
