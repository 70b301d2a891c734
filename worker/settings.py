"""Every option, declared once: type, default, unit, help, bound. CLI help, the docs page and the checks derive from it.

One YAML file; `TAGSTREAM_SECTION__KEY` in the environment over it; `--set section.key=value` over both.
Only `app` and `cli` read settings; the parts get plain arguments.
"""

from __future__ import annotations

import itertools
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from worker.clustersettings import ClusterSettings
from worker.section import Fraction, Positive, Seconds, Section, TopicName
from worker.textsettings import TextSettings


class KafkaSettings(Section):
    """How to reach Kafka."""

    bootstrap: str = Field(default="127.0.0.1:9092", description="Brokers to start from, host:port, comma-separated.")
    group_id: str = Field(default="tagstream", min_length=1, description="Consumer group of the workers.")
    instance_id: str | None = Field(
        default=None, description="Static membership (group.instance.id): one stable name per worker."
    )
    client_id: str = Field(default="tagstream", description="Name in the broker's logs and quotas.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="As Kafka's security.protocol."
    )
    ssl_ca_file: Path | None = Field(default=None, description="PEM file of the authorities to trust.")
    ssl_cert_file: Path | None = Field(default=None, description="PEM file of the client certificate (mutual TLS).")
    ssl_key_file: Path | None = Field(default=None, description="PEM file of the client's key.")
    ssl_key_password: SecretStr | None = Field(default=None, description="Password of the client's key.")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        default=None, description="With SASL_PLAINTEXT or SASL_SSL."
    )
    sasl_username: str | None = Field(default=None, description="SASL user.")
    sasl_password: SecretStr | None = Field(default=None, description="SASL password; better from a file.")
    sasl_password_file: Path | None = Field(default=None, description="File that holds the SASL password.")
    request_timeout_s: Seconds = Field(default=10.0, description="One request.")
    session_timeout_s: Seconds = Field(default=45.0, description="Without heartbeats for so long, a member is dead.")
    create_topics: bool = Field(default=False, description="Make missing topics at start instead of refusing it.")
    replication_factor: Positive = Field(default=1, description="Of topics that tagstream makes.")
    partitions: Positive = Field(default=3, description="Of topics that tagstream makes.")

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (self.sasl_mechanism and self.sasl_username):
            raise ValueError("kafka.security_protocol with SASL needs kafka.sasl_mechanism and kafka.sasl_username")
        return self


class FieldMap(Section):
    """Which JSON fields hold what; dots go into nested objects."""

    text: str = Field(default="text", description="Path of the text.")
    id: str | None = Field(default="id", description="Path of the id, if any.")
    timestamp: str | None = Field(default="timestamp", description="Path of the text's own time, if any.")
    language: str | None = Field(default="language", description="Path of the language tag, if any.")
    metadata: str | None = Field(default="metadata", description="Path of what is passed through, if any.")


class TopicInput(Section):
    """One input topic that differs from the rest."""

    topic: TopicName = Field(description="Its name.")
    format: Literal["json", "text", "mail"] | None = Field(default=None, description="Overrides input.format.")
    fields: FieldMap | None = Field(default=None, description="Overrides input.fields.")


class InputSettings(Section):
    """What is read."""

    topics: tuple[TopicInput, ...] = Field(
        default=(), description="Topics to read; a name, or {topic, format, fields} for one that differs."
    )
    pattern: str | None = Field(default=None, description="Regular expression of topics to read, beside those listed.")
    format: Literal["json", "text", "mail"] = Field(
        default="json", description="json (also behind schema-registry framing), UTF-8 text, or RFC 822 mail."
    )
    fields: FieldMap = Field(default_factory=FieldMap, description="Names of the JSON fields.")
    keep_unknown_fields: bool = Field(default=False, description="Pass unknown JSON fields through under metadata.")
    start: Literal["earliest", "latest"] | datetime = Field(
        default="earliest", description="Where a new group begins: earliest, latest, or a time (RFC 3339)."
    )
    on_gap: Literal["stop", "skip"] = Field(
        default="stop", description="When retention has taken away what was still to be read."
    )
    on_corrupt: Literal["stop", "skip"] = Field(default="stop", description="When a batch fails its checksum.")
    tombstones: Literal["drop", "pass", "dead_letter"] = Field(
        default="drop", description="Null values: leave out, send on to output.topic, or dead letter."
    )
    blank_text: Literal["drop", "dead_letter"] = Field(default="dead_letter", description="Empty or blank texts.")

    @field_validator("topics", mode="before")
    @classmethod
    def _name_is_enough(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError("must be a list, e.g. [comments, mails]")
        return [{"topic": item} if isinstance(item, str) else item for item in value]

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"is not a regular expression: {error}") from error
        return value


class OutputSettings(Section):
    """What is written."""

    topic: TopicName = Field(default="tagged", description="Results whose label has no route of its own.")
    format: Literal["tagged", "original"] = Field(
        default="tagged", description="tagged: a TaggedMessage. original: the input's bytes, tags in headers."
    )
    partition: Literal["source", "key"] = Field(
        default="source",
        description="source: source partition modulo the output's partitions. key: by hash of the key.",
    )
    include_text: bool = Field(
        default=False, description="Put the text into the result, as it was sent except for text.redact."
    )
    hash_ids: bool = Field(
        default=False, description="In the place of a sender's id its keyed hash; where it came from stays."
    )
    hash_key: SecretStr | None = Field(default=None, description="Key of output.hash_ids; better from a file.")
    hash_key_file: Path | None = Field(default=None, description="File that holds the key of output.hash_ids.")
    timestamp: Literal["source", "processed"] = Field(
        default="source", description="The result record's timestamp: the source's, or now."
    )
    compression: Literal["none", "gzip", "lz4", "zstd"] = Field(default="lz4", description="Of produced batches.")

    @model_validator(mode="after")
    def _hash_has_one_key(self) -> Self:
        if self.hash_ids and (self.hash_key is None) == (self.hash_key_file is None):
            raise ValueError("output.hash_ids needs output.hash_key_file or output.hash_key: set one of them")
        return self


class DeadLetterSettings(Section):
    """What happens to records that cannot be tagged."""

    topic: TopicName = Field(default="dead-letters", description="Where they go.")
    replay_topic: TopicName | None = Field(
        default=None, description="A topic that the workers also read, for `dlq replay`; none: no replays."
    )
    max_replays: Annotated[int, Field(ge=0)] = Field(default=3, description="After so many a record stays.")


ClassifierName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]


class ClassifierSettings(Section):
    """One more classifier over the same texts; what its model has in common with the others is computed once."""

    name: ClassifierName = Field(description="Its name in results and metrics.")
    path: str = Field(description="Directory, hub id, or `minilm`.")
    labels: dict[str, str] = Field(default_factory=dict, description="Names for the model's labels.")


class ZeroShotSettings(Section):
    """A classifier without training data: the label whose descriptions are nearest to the text."""

    name: ClassifierName = Field(description="Its name in results and metrics.")
    labels: dict[str, tuple[str, ...]] = Field(
        description="Label → one or more descriptions of it, or texts that are examples of it."
    )

    @field_validator("labels", mode="before")
    @classmethod
    def _one_description_is_enough(cls, value: object) -> object:
        if not isinstance(value, dict):
            raise ValueError("must map each label to its descriptions")
        return {label: (texts,) if isinstance(texts, str) else texts for label, texts in value.items()}

    @field_validator("labels")
    @classmethod
    def _two_labels_at_least(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if len(value) < 2:
            raise ValueError("needs at least two labels to choose from")
        empty = next((label for label, texts in value.items() if not texts or not all(map(str.strip, texts))), None)
        if empty is not None:
            raise ValueError(f"label {empty!r} has an empty description")
        return value


class ShadowSettings(Section):
    """A second model that sees a share of the traffic; how far it agrees is in the metrics, its results go nowhere."""

    path: str = Field(description="Directory, hub id, or `minilm`; compared with the primary classifier.")
    labels: dict[str, str] = Field(default_factory=dict, description="Names for the model's labels.")
    share: Annotated[float, Field(gt=0, le=1)] = Field(default=0.1, description="Share of the texts that it sees.")


class ModelSettings(Section):
    """The model that gives labels and embeddings."""

    path: str = Field(default="minilm", description="Directory, hub id, or `minilm`: the encoder of that extra.")
    name: ClassifierName = Field(default="default", description="The classifier's name in results and metrics.")
    labels: dict[str, str] = Field(default_factory=dict, description="Names for the model's labels, e.g. LABEL_0: ham.")
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N.")
    classifiers: tuple[ClassifierSettings, ...] = Field(
        default=(), description="More classifiers, each {name, path, labels}."
    )
    zero_shot: tuple[ZeroShotSettings, ...] = Field(
        default=(), description="Classifiers without training, each {name, labels}: label → descriptions."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        default="auto",
        description="auto: float32 on the CPU, bfloat16 on CUDA (float16 on older cards). int8: faster on a CPU and"
        " lossy; needs model.evaluation.",
    )
    evaluation: Path | None = Field(
        default=None, description="JSON lines with text and label: what int8 loses on them is measured at start."
    )
    max_batch_tokens: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Tokens of one forward pass, padding included; 0: chosen by device and memory."
    )
    multi_threshold: Fraction = Field(default=0.5, description="A multi-label model gives the labels above it.")
    allow_download: bool = Field(default=False, description="Let a hub id be downloaded at start.")
    threads: Annotated[int, Field(ge=0)] = Field(
        default=0, description="CPU threads of a forward pass; 0: the CPU quota."
    )
    watch_s: Annotated[float, Field(ge=0)] = Field(
        default=10.0, description="Seconds between looks for a new model in its directory; 0: only on SIGHUP."
    )
    shadow: ShadowSettings | None = Field(default=None, description="A model to compare with: {path, labels, share}.")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [self.name, *(c.name for c in self.classifiers), *(z.name for z in self.zero_shot)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"model: two classifiers are called {twice!r}; give each a name of its own")
        return self


class ReviewSettings(Section):
    """Where unsure results go instead of their label's route."""

    topic: TopicName = Field(description="For a person to look at.")
    below: Fraction = Field(default=0.6, description="Scores below it are unsure.")


class PolicySettings(Section):
    """Which label goes where."""

    primary: str | None = Field(default=None, description="Classifier that decides the route; default: the first.")
    routes: dict[str, TopicName] = Field(default_factory=dict, description="Label → topic; all others: output.topic.")
    review: ReviewSettings | None = Field(default=None, description="Unsure results.")


class FeedbackSettings(Section):
    """What people send back."""

    topic: TopicName | None = Field(default=None, description="Corrections, for `feedback collect` alone.")


class DeliverySettings(Section):
    """How results and offsets are committed."""

    mode: Literal["exactly_once", "at_least_once"] = Field(
        default="exactly_once", description="One transaction a batch, or flush and commit."
    )
    transactional_id_prefix: str = Field(
        default="tagstream", min_length=1, description="Transactional ids begin with it: ACLs need it."
    )
    delivery_timeout_s: Seconds = Field(default=20.0, description="One produced record.")
    transaction_timeout_s: Seconds = Field(default=30.0, description="One transaction.")
    drain_timeout_s: Seconds = Field(
        default=10.0, description="How long a rebalance or a stop waits for what is in flight."
    )
    stage_deadline_s: Seconds = Field(
        default=900.0,
        description="A stage that takes longer is stuck: exit 1; a pass of half of it is cut.",
    )


class BatchSettings(Section):
    """How large batches may grow."""

    max_records: Positive = Field(default=2000, description="Records of one batch, at most.")
    max_bytes: Positive = Field(default=16_000_000, description="Bytes of one batch, at most: values, keys, headers.")
    max_tokens: Positive = Field(default=262_144, description="Tokens of one batch, at most; above it is cut in two.")
    target_s: Seconds = Field(default=1.0, description="Batch sizes are steered to this time in the model.")
    linger_ms: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Wait so long for more records; spares the coordinator in a fleet of idle workers."
    )
    slots: Annotated[int, Field(ge=2, le=16)] = Field(default=4, description="Batches in flight at once.")


class HttpSettings(Section):
    """Metrics, health, status."""

    host: str = Field(default="0.0.0.0", description="Address to listen on.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(default=9108, description="0: any free port.")


class LoggingSettings(Section):
    """Logs, to stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level shown.")
    format: Literal["auto", "console", "json"] = Field(default="auto", description="auto: console on a terminal.")


class Settings(Section):
    """All settings of tagstream."""

    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    input: InputSettings = Field(default_factory=InputSettings)
    output: OutputSettings = Field(default_factory=OutputSettings)
    dead_letter: DeadLetterSettings = Field(default_factory=DeadLetterSettings)
    text: TextSettings = Field(default_factory=TextSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    clusters: ClusterSettings = Field(default_factory=ClusterSettings)
    policy: PolicySettings = Field(default_factory=PolicySettings)
    feedback: FeedbackSettings = Field(default_factory=FeedbackSettings)
    delivery: DeliverySettings = Field(default_factory=DeliverySettings)
    batch: BatchSettings = Field(default_factory=BatchSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    logging: LoggingSettings = Field(default_factory=LoggingSettings)

    @model_validator(mode="after")
    def _timeouts_are_in_order(self) -> Self:
        """A request must end before its delivery, that before its transaction, and that before the session."""
        order = (
            ("kafka.request_timeout_s", self.kafka.request_timeout_s),
            ("delivery.delivery_timeout_s", self.delivery.delivery_timeout_s),
            ("delivery.transaction_timeout_s", self.delivery.transaction_timeout_s),
            ("kafka.session_timeout_s", self.kafka.session_timeout_s),
        )
        for (shorter, low), (longer, high) in itertools.pairwise(order):
            if low >= high:
                raise ValueError(f"{shorter} ({low:g}) must be less than {longer} ({high:g})")
        if self.delivery.drain_timeout_s >= self.kafka.session_timeout_s:
            raise ValueError("delivery.drain_timeout_s must be less than kafka.session_timeout_s")
        return self

    @model_validator(mode="after")
    def _outputs_are_not_inputs(self) -> Self:
        """A worker that reads what it writes never ends."""
        written = self.output_topics()
        if self.dead_letter.topic in self.result_topics():
            raise ValueError("dead_letter.topic must not be a topic of results: give dead letters one of their own")
        for topic in written:
            if self.reads(topic):
                raise ValueError(f"topic {topic!r} is written and read: a worker must not read its own results")
        for topic in self.cluster_topics():
            if topic in written or self.reads(topic) or topic == self.feedback.topic:
                raise ValueError(f"topic {topic!r} is for the clusters alone: give it a name of its own")
        if self.feedback.topic and (self.feedback.topic in written or self.reads(self.feedback.topic)):
            raise ValueError("feedback.topic must be a topic of its own, which the worker neither reads nor writes")
        return self

    @model_validator(mode="after")
    def _originals_can_be_redacted(self) -> Self:
        formats = {self.input.format, *(topic.format or self.input.format for topic in self.input.topics)}
        if self.text.redact and self.output.format == "original" and formats != {"json"}:
            raise ValueError(
                "text.redact can change originals (output.format) that are JSON only, not text or mail:"
                " set output.format to tagged"
            )
        return self

    def reads(self, topic: str) -> bool:
        return topic in self.input_topics() or bool(self.input.pattern and re.match(self.input.pattern, topic))

    def input_topics(self) -> tuple[str, ...]:
        """Names of the topics listed, the replay topic included."""
        listed = tuple(topic.topic for topic in self.input.topics)
        return (*listed, self.dead_letter.replay_topic) if self.dead_letter.replay_topic else listed

    def output_topics(self) -> tuple[str, ...]:
        """Every topic that a result or a dead letter may go to, each once, results first."""
        return (*self.result_topics(), self.dead_letter.topic)

    def cluster_topics(self) -> tuple[str, ...]:
        """The topics of the shared clusters: table, samples, events; none where they are switched off."""
        clusters = self.clusters
        return (clusters.topic, clusters.sample_topic, clusters.event_topic) if clusters.enabled else ()

    def result_topics(self) -> tuple[str, ...]:
        """Every topic that a result may go to, each once."""
        review = (self.policy.review.topic,) if self.policy.review else ()
        return tuple(dict.fromkeys((self.output.topic, *self.policy.routes.values(), *review)))
