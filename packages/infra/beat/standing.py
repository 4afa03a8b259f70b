"""Where a replica stands, and what is wrong with the broker when something is: words for logs, status and metrics."""

from enum import StrEnum


class Standing(StrEnum):
    """`leading`: it publishes. `following`: another one does. `no_broker`: it cannot reach the lease."""

    LEADING = "leading"
    FOLLOWING = "following"
    NO_BROKER = "no_broker"


class Trouble(StrEnum):
    """Why the broker took nothing. `answer`: another error that it gave; `message`: the message itself is at fault."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    FULL = "full"
    READ_ONLY = "read_only"
    LOADING = "loading"
    AUTHENTICATION = "authentication"
    TLS = "tls"
    ANSWER = "answer"
    MESSAGE = "message"
