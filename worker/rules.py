"""Settings to what the stages go by: how input is decoded, where a label goes, what a result looks like."""

from __future__ import annotations

from worker.policy.routes import Policy
from worker.results import ResultForm
from worker.settings import Settings
from worker.text.decode import Decoder, TopicFormat


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
    output = settings.output
    return ResultForm(
        format=output.format,
        partition=output.partition,
        include_text=output.include_text,
        timestamp=output.timestamp,
        dead_letter_topic=settings.dead_letter.topic,
        default_topic=output.topic,
    )


def make_decoder(settings: Settings) -> Decoder:
    given = settings.input
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
    )
