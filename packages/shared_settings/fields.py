"""The kinds of values that settings have, each with its bounds and the sentence that says what is allowed."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from packages.shared_settings.layers import ROOT

REDIS_SCHEMES: Final = ("redis", "rediss")
DATABASE_SCHEMES: Final = ("postgresql", "postgres", "postgresql+psycopg")


def _url(secret: SecretStr | None, schemes: tuple[str, ...]) -> SecretStr | None:
    if secret is None:
        return None
    try:
        parts = urlsplit(secret.get_secret_value())
        _ = parts.port
    except ValueError as error:
        # The text of the error may quote the URL, and with it the password.
        raise ValueError("this is no URL (is a character of the password not percent-encoded?)") from error
    if parts.scheme not in schemes:
        raise ValueError(f"the scheme {parts.scheme!r} is not known here")
    return secret


def _redis_url(secret: SecretStr | None) -> SecretStr | None:
    return _url(secret, REDIS_SCHEMES)


def _database_url(secret: SecretStr | None) -> SecretStr | None:
    return _url(secret, DATABASE_SCHEMES)


def _broker_url(secret: SecretStr | None) -> SecretStr | None:
    return _url(secret, (*REDIS_SCHEMES, "amqp", "amqps"))


def _backend_url(secret: SecretStr | None) -> SecretStr | None:
    return _url(secret, (*REDIS_SCHEMES, "rpc"))


def _http_url(secret: SecretStr | None) -> SecretStr | None:
    if _url(secret, ("http", "https")) is None or secret is None:
        return None
    parts = urlsplit(secret.get_secret_value())
    if not parts.hostname:
        raise ValueError("there is no host in it")
    if parts.query or parts.fragment:
        raise ValueError("what follows a ? or # has no meaning here")
    return secret


def _absolute(path: Path) -> Path:
    """Relative paths count from the repository, so that a process's working directory does not matter."""
    if ".." in path.parts:
        raise ValueError("a path may not climb with '..'")
    return path if path.is_absolute() else ROOT / path


def _port(value: object) -> object:
    """None for `off`, so that a port can be turned off where a layer below has set it."""
    return None if isinstance(value, str) and value.strip().lower() == "off" else value


def _existing_file(path: Path | None) -> Path | None:
    absolute = None if path is None else _absolute(path)
    if absolute is not None and not absolute.is_file():
        raise ValueError("there is no such file")
    return absolute


def _split(value: object) -> object:
    """An env file has commas where a list would be."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _markets(markets: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if markets is None:
        return None
    if not markets:
        raise ValueError("there is no market in it")
    if wrong := [market for market in markets if not _MARKET.fullmatch(market)]:
        raise ValueError(f"{wrong[0]!r} is no code of a market")
    return tuple(dict.fromkeys(markets))


# The form only; whether there is a calendar of that name is known where calendars are read.
_MARKET: Final = re.compile(r"[A-Z0-9]{4}|24/7")
_SECONDS = "a whole number of seconds from 1 to 86400"
_MINUTES = "a whole number of minutes from 1 to 10080"

IntervalSeconds = Annotated[int, Field(ge=1, le=86_400, description=_SECONDS)]
IntervalMinutes = Annotated[int, Field(ge=1, le=10_080, description=_MINUTES)]
LongSeconds = Annotated[int, Field(ge=1, le=604_800, description="a whole number of seconds from 1 to 604800")]
Hour = Annotated[int, Field(ge=0, le=23, description="an hour from 0 to 23, in UTC")]
Minute = Annotated[int, Field(ge=0, le=59, description="a minute from 0 to 59")]
Count = Annotated[int, Field(ge=1, le=100_000, description="a whole number from 1 to 100000")]
BasisPoints = Annotated[int, Field(ge=0, le=1000, description="hundredths of a percent, from 0 to 1000")]
Flag = Annotated[bool, Field(description="true or false")]
Margin = Annotated[int, Field(ge=0, le=1440, description="a whole number of minutes from 0 to 1440")]
GateMode = Annotated[Literal["off", "observe", "enforce"], Field(description="off, observe or enforce")]
Port = Annotated[
    Annotated[int, Field(ge=0, le=65_535)] | None,
    BeforeValidator(_port),
    Field(description="a port from 1 to 65535, 0 for any free one, or off"),
]
BindAddress = Annotated[str, Field(min_length=1, max_length=255, description="an address of this machine")]
UnknownDates = Annotated[Literal["fail_open", "fail_closed"], Field(description="fail_open or fail_closed")]
Markets = Annotated[
    tuple[str, ...],
    NoDecode,
    BeforeValidator(_split),
    AfterValidator(_markets),
    Field(description="MIC codes such as XNYS, or 24/7, with commas between them"),
]
Directory = Annotated[Path, AfterValidator(_absolute), Field(description="a directory, absolute or in the repository")]

RedisUrl = Annotated[
    SecretStr | None,
    AfterValidator(_redis_url),
    Field(description="redis://[:password@]host:port/db or rediss:// likewise"),
]
HttpUrl = Annotated[
    SecretStr | None,
    AfterValidator(_http_url),
    Field(description="http://[user:password@]host[:port][/path] or https:// likewise"),
]
DatabaseUrl = Annotated[
    SecretStr | None, AfterValidator(_database_url), Field(description="postgresql://user:password@host:port/database")
]
InputFile = Annotated[
    Path | None, AfterValidator(_existing_file), Field(description="a file, absolute or in the repository")
]
BrokerUrl = Annotated[
    SecretStr | None,
    AfterValidator(_broker_url),
    Field(description="a redis://, rediss:// or amqp(s):// URL"),
]
BackendUrl = Annotated[
    SecretStr | None,
    AfterValidator(_backend_url),
    Field(description="a redis://, rediss:// or rpc:// URL"),
]
