"""What is wrong with the broker, read off an error: the kinds of `packages.infra.beat.standing`, in words for people.

Decides nothing about what is done then. Drivers wrap errors in errors of their own, so the whole chain is looked at,
from the outermost one; one that says only that there is no connection gives way to the reason behind it.
"""

import re
import ssl
from collections.abc import Iterator, Mapping
from errno import EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH
from socket import gaierror, herror
from typing import Final

from amqp import exceptions as amqp
from kombu.exceptions import InconsistencyError, OperationalError
from redis import exceptions as redis

from packages.infra.beat.standing import Trouble
from packages.infra.queue.guarded_redis import NotAskedError

IN_WORDS: Final[Mapping[Trouble, str]] = {
    Trouble.UNREACHABLE: "the broker cannot be reached",
    Trouble.TIMEOUT: "the broker does not answer in time",
    Trouble.FULL: "the broker is full and takes nothing more until there is room (see its maxmemory)",
    Trouble.READ_ONLY: "the broker takes no writes now: it is a replica, or cannot keep what it is given",
    Trouble.LOADING: "the broker loads its data and answers when it is done",
    Trouble.AUTHENTICATION: "the broker refuses the user or the password, or what this user wants to do",
    Trouble.TLS: "no TLS connection to the broker comes about: see its certificate, and whether its port speaks TLS",
    Trouble.ANSWER: "the broker answers with an error",
    Trouble.MESSAGE: "the message itself cannot be published",
}

_UNREACHABLE_NUMBERS: Final = frozenset({ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH})

# The first that fits. A subclass stands before its class.
_BY_CLASS: Final[tuple[tuple[type[BaseException], Trouble], ...]] = (
    (ssl.SSLError, Trouble.TLS),
    (NotAskedError, Trouble.TIMEOUT),
    (redis.OutOfMemoryError, Trouble.FULL),
    (amqp.Blocked, Trouble.FULL),  # type: ignore[attr-defined]  # the stubs lack it
    (redis.ReadOnlyError, Trouble.READ_ONLY),
    (redis.MasterDownError, Trouble.READ_ONLY),
    (redis.BusyLoadingError, Trouble.LOADING),
    (redis.AuthenticationError, Trouble.AUTHENTICATION),
    (redis.AuthorizationError, Trouble.AUTHENTICATION),
    (redis.NoPermissionError, Trouble.AUTHENTICATION),
    (amqp.AccessRefused, Trouble.AUTHENTICATION),
    (redis.TimeoutError, Trouble.TIMEOUT),
    (TimeoutError, Trouble.TIMEOUT),
    # No queue is bound to the exchange.
    (InconsistencyError, Trouble.MESSAGE),
    (redis.ResponseError, Trouble.ANSWER),
    (redis.ConnectionError, Trouble.UNREACHABLE),
    (amqp.ConnectionError, Trouble.UNREACHABLE),
    (amqp.AMQPError, Trouble.ANSWER),
    (redis.RedisError, Trouble.ANSWER),
    (ConnectionError, Trouble.UNREACHABLE),
    (gaierror, Trouble.UNREACHABLE),
    (herror, Trouble.UNREACHABLE),
)

# Where an error code stands: first, behind what redis says of a command of a pipeline, or as servers before Redis 7
# quote it from within a script.
_CODE: Final = r"(?:^|caused error: |\s-)"
_IN_TEXT: Final[tuple[tuple[re.Pattern[str], Trouble], ...]] = (
    (re.compile(rf"{_CODE}OOM command not allowed"), Trouble.FULL),
    (re.compile(rf"{_CODE}(?:READONLY|MASTERDOWN|NOREPLICAS|MISCONF) "), Trouble.READ_ONLY),
    (re.compile(rf"{_CODE}LOADING "), Trouble.LOADING),
    (re.compile(rf"{_CODE}(?:NOAUTH |WRONGPASS |NOPERM |ACL failure in script)"), Trouble.AUTHENTICATION),
)
# As TLS reports it against a port that does not speak it, and waits for more.
_HANDSHAKE: Final = "handshake operation timed out"
_NO_CONNECTION: Final = frozenset({Trouble.UNREACHABLE, Trouble.TIMEOUT})


def trouble_of(error: BaseException) -> Trouble:
    """What stands behind an error of publishing, or of asking the broker anything.

    An error that no broker and no network gives is the message's own.
    """
    kinds = [kind for kind in map(_of_one, _chain(error)) if kind is not None]
    if not kinds:
        # Kombu's own of a connection that failed, and nothing behind it.
        is_bare = isinstance(error, OperationalError) and error.__cause__ is None
        return Trouble.UNREACHABLE if is_bare else Trouble.MESSAGE
    if kinds[0] in _NO_CONNECTION and Trouble.TLS in kinds:
        return Trouble.TLS
    return kinds[0]


def sentence_of(error: BaseException) -> str:
    """The kind in words, and in brackets the error's own."""
    own = " ".join(str(error).split()) or type(error).__name__
    return f"{IN_WORDS[trouble_of(error)]} ({own})"


def _of_one(error: BaseException) -> Trouble | None:
    """By its text or its class alone; None of what only wraps, and of what is not known here."""
    text = str(error)
    if isinstance(error, (TimeoutError, OSError)) and _HANDSHAKE in text:
        return Trouble.TLS
    if isinstance(error, redis.ResponseError):
        for pattern, trouble in _IN_TEXT:
            if pattern.search(text):
                return trouble
    for kind, trouble in _BY_CLASS:
        if isinstance(error, kind):
            return trouble
    if isinstance(error, OSError) and error.errno in _UNREACHABLE_NUMBERS:
        return Trouble.UNREACHABLE
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from or during, the outermost first."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        yield one
        seen.add(id(one))
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
