"""The section `text`: what is done to a text before the model sees it, and before it is sent on."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from worker.section import Positive, Section

Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]


class TextSettings(Section):
    """What is done to a text before the model sees it, and to a text that is sent on."""

    max_bytes: Positive = Field(default=1_000_000, description="A longer value is bad input, not a long text.")
    long: Literal["truncate", "windows"] = Field(
        default="truncate",
        description="A text longer than the model reads: its end is cut off, or it is read in overlapping windows.",
    )
    window_overlap: Annotated[int, Field(ge=0)] = Field(
        default=32, description="Tokens that two neighbouring windows share."
    )
    window_pooling: Literal["mean", "max"] = Field(
        default="mean", description="How the logits of a text's windows are put together."
    )
    # Canonically equal texts look the same to every reader; only a tokenizer that forgot to normalise tells them apart.
    normalize: Literal["none", "NFC", "NFKC"] = Field(
        default="NFC",
        description="Unicode form. NFC changes nothing that can be seen; NFKC makes wide or styled letters plain.",
    )
    strip_html: bool = Field(default=False, description="The lines that a browser would show, without tags.")
    strip_quotes: bool = Field(default=False, description="Leave out what a mail quotes of others.")
    strip_signatures: bool = Field(default=False, description="Leave out a mail's signature below `-- `.")
    mask: tuple[Literal["urls", "mentions", "emails"], ...] = Field(
        default=(), description="What the model sees as one word each, `[url]`, `[user]`, `[email]`."
    )
    lowercase: bool = Field(default=False, description="In lower case; an uncased model does so by itself.")
    strip_punctuation: bool = Field(default=False, description="Without punctuation; costs a BERT accuracy.")
    stop_words: tuple[Literal["de", "en", "es", "fr", "it", "nl", "pt"], ...] = Field(
        default=(), description="Without the articles, pronouns, ... of these languages; costs a BERT accuracy."
    )
    identify_language: bool = Field(
        default=False, description="Name the language of a text whose sender does not, in `text_facts`."
    )
    redact: tuple[Literal["emails", "phones", "cards", "ibans", "ips", "secrets"], ...] = Field(
        default=(), description="What is masked in all that is sent on: text, metadata, names of clusters."
    )
    redact_before_model: bool = Field(default=False, description="The model sees the redacted text, too.")
    phone_regions: tuple[Country, ...] = Field(
        default=(), description="Countries (US, DE, ...) whose phone numbers are known without country code."
    )

    @field_validator("phone_regions", mode="before")
    @classmethod
    def _no_is_norwegian(cls, value: Any) -> Any:
        """YAML reads `[NO]` as false."""
        if not isinstance(value, list | tuple):
            raise ValueError("must be a list, e.g. [DE, US]")
        if any(item is False for item in value):
            raise ValueError('quote Norway in YAML: "NO"')
        return value

    @model_validator(mode="after")
    def _redaction_is_named(self) -> Self:
        if self.redact_before_model and not self.redact:
            raise ValueError("text.redact_before_model needs text.redact: name what is to be masked")
        return self
