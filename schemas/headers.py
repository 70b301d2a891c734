"""Header names that tagstream writes. All values are UTF-8 text."""

PREFIX = "tagstream-"

# On a dead letter.
ERROR_STAGE = "tagstream-error-stage"
ERROR_REASON = "tagstream-error-reason"
ERROR_MESSAGE = "tagstream-error-message"
ERROR_ATTEMPTS = "tagstream-error-attempts"  # how often it was tried: its replays and the first time
ERROR_VERSION = "tagstream-error-version"
ERROR_TIME = "tagstream-error-time"
ERROR_VALUE_SIZE = "tagstream-error-value-size"  # with the next, where the value had to be left out
ERROR_VALUE_SHA256 = "tagstream-error-value-sha256"
ERROR_NULL_VALUE = "tagstream-error-null-value"  # the original value was null, not empty

# On a dead letter and on its replay: where the record first came from.
SOURCE_TOPIC = "tagstream-source-topic"
SOURCE_PARTITION = "tagstream-source-partition"
SOURCE_OFFSET = "tagstream-source-offset"
SOURCE_TIMESTAMP = "tagstream-source-timestamp"  # milliseconds since 1970; absent where the record had none
REPLAYS = "tagstream-replays"

# What a new dead letter replaces of an older one's; other headers of ours came with the record and stay.
OF_A_DEAD_LETTER = ("tagstream-error-", "tagstream-source-", REPLAYS)

# On a result in `output.format: original`.
ID = "tagstream-id"
LABEL = "tagstream-label"
SCORE = "tagstream-score"
ROUTE = "tagstream-route"
CLUSTER = "tagstream-cluster"
CLUSTER_VERSION = "tagstream-cluster-version"
REVISION = "tagstream-revision"
PROCESSED_AT = "tagstream-processed-at"
NULL_HEADERS = "tagstream-null-headers"  # names of carried headers whose value was null, comma-separated
