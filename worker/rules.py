"""Settings to what the stages go by: how input is decoded, where a label goes, what a result looks like."""

from __future__ import annotations

from functools import partial

from worker.errors import SettingsError
from worker.policy.routes import Policy
from worker.results import ResultForm
from worker.settings import Settings
from worker.text.decode import Decoder, TopicFormat
from worker.text.documents import redact_document
from worker.text.identity import KeyedHash
from worker.text.language import LanguageIdentifier, WithLanguage
from worker.text.preparation import Preparation
from worker.text.redaction import Redaction
from worker.types import Decode

KEY_BYTES = 16  # shorter keys can be guessed, and then every id can be tried out


def make_policy(settings: Settings) -> Policy:
    review = settings.policy.review
    return Policy(
        default_topic=settings.output.topic,
        primary=settings.policy.primary,
        routes=settings.policy.routes,
        review_topic=review.topic if review else None,
        review_below=review.below if review else 0.0,
    )


def make_form(settings: Settings) -> ResultForm:
    """Raises `SettingsError`."""
    output, redaction = settings.output, make_redaction(settings)
    return ResultForm(
        format=output.format,
        partition=output.partition,
        include_text=output.include_text,
        timestamp=output.timestamp,
        dead_letter_topic=settings.dead_letter.topic,
        default_topic=output.topic,
        redact=redaction.within if redaction else None,
        redact_original=partial(redact_document, redact=redaction.within) if redaction else None,
    )


def make_redaction(settings: Settings) -> Redaction | None:
    """What is done to all that is sent on. Raises `SettingsError`."""
    text = settings.text
    return Redaction(text.redact, text.phone_regions) if text.redact else None


def make_preparation(settings: Settings) -> Preparation:
    """What is done to a text before the model sees it. Raises `SettingsError`."""
    text = settings.text
    return Preparation(
        normalize=text.normalize,
        strip_html=text.strip_html,
        strip_quotes=text.strip_quotes,
        strip_signatures=text.strip_signatures,
        redact=text.redact if text.redact_before_model else (),
        phone_regions=text.phone_regions,
        mask=text.mask,
        lowercase=text.lowercase,
        strip_punctuation=text.strip_punctuation,
        stop_words=text.stop_words,
    )


def make_decoder(settings: Settings) -> Decoder:
    """Raises `SettingsError`."""
    given, preparation = settings.input, make_preparation(settings)
    default = TopicFormat(given.format, given.fields.model_dump(), given.keep_unknown_fields)
    topics = {
        topic.topic: TopicFormat(
            topic.format or given.format, (topic.fields or given.fields).model_dump(), given.keep_unknown_fields
        )
        for topic in given.topics
    }
    return Decoder(
        max_bytes=settings.text.max_bytes,
        default=default,
        topics=topics,
        tombstones=given.tombstones,
        blank_text=given.blank_text,
        replay_topic=settings.dead_letter.replay_topic,
        prepare=preparation if preparation.steps else None,
        hide_id=_make_hash(settings),
    )


def make_reader(settings: Settings) -> Decode:
    """A decoder that names languages as well, if the settings ask for it. Raises `SettingsError`."""
    decoder = make_decoder(settings)
    return WithLanguage(decoder, LanguageIdentifier()) if settings.text.identify_language else decoder


def _make_hash(settings: Settings) -> KeyedHash | None:
    output = settings.output
    if not output.hash_ids:
        return None
    if output.hash_key_file is None:
        key = output.hash_key.get_secret_value().encode() if output.hash_key else b""
    else:
        try:
            key = output.hash_key_file.read_bytes().strip()
        except OSError as error:
            raise SettingsError(f"output.hash_key_file: cannot read {output.hash_key_file}: {error.strerror}") from None
    if len(key) < KEY_BYTES:
        raise SettingsError(
            f"the key of output.hash_ids has {len(key)} bytes, {KEY_BYTES} are needed:"
            " make one with `openssl rand -hex 32`"
        )
    return KeyedHash(key)
