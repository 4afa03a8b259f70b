"""One number out of a Prometheus server, or another that speaks its API: the value of a query now.

It decides what is a usable answer. It never retries, follows no redirect, and reads no more than it needs. The password
that the address may hold stays in here: no text, log line or repr carries it.

PrometheusError
├── PrometheusAwayError    nobody answers
└── NoNumberError          the answer is that there is no number
"""

import json
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

if TYPE_CHECKING:
    from requests import Response, Session

SCHEMES: Final = ("http", "https")
TIMEOUT_S: Final = 5.0

_LARGEST_ANSWER: Final = 64 * 1024
_READ_AT_ONCE: Final = 8 * 1024
_LONGEST_SAID: Final = 200
_OK: Final = 200
_REMARK: Final = "PromQL info"
_REDIRECTS: Final = range(300, 400)
# Numbers of events, of which a float still tells one from the next.
_MOST: Final = 10**15


class PrometheusError(Exception):
    """There is no number; the text says why."""


class PrometheusAwayError(PrometheusError):
    """The server cannot be reached, so that another query would fare no better."""


class NoNumberError(PrometheusError):
    """The server has answered, and what it was asked for is not there, or no finite number."""


class PrometheusClient:
    """Asks the server at `url`, `http://[user:password@]host[:port][/path]` or `https://` likewise.

    `timeout_s` is how long it may take to connect, to begin an answer, and to end it. For one thread at a time.

    Raises:
        ValueError: the address cannot be used; the text does not quote it.
    """

    def __init__(self, url: SecretStr, *, timeout_s: float = TIMEOUT_S) -> None:
        if timeout_s <= 0:
            raise ValueError(f"the time-out must be above 0: {timeout_s}")
        try:
            parts = urlsplit(url.get_secret_value())
            _ = parts.port
        except ValueError:
            raise ValueError("the address of Prometheus is no URL") from None
        if parts.scheme not in SCHEMES or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(
                "the address of Prometheus must be http:// or https://, with a host and without a query or a fragment"
            )
        self._address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}/api/v1/query"
        self._user = None if parts.username is None else unquote(parts.username)
        self._password = SecretStr(unquote(parts.password or ""))
        self._timeout_s = timeout_s
        self._session: Session | None = None

    def value(self, query: str) -> float:
        """The value of a query that gives one number of events: a scalar, or a vector of one.

        Raises:
            PrometheusAwayError: nobody answers there.
            NoNumberError: nothing matches the query, or it gives NaN, or another number that counts nothing.
            PrometheusError: no answer in time, an error, a redirect, or an answer that is incomplete or makes no sense.
        """
        from requests import ConnectionError as AwayError
        from requests import RequestException, Timeout
        from urllib3.exceptions import HTTPError

        try:
            with self._connected().get(
                self._address,
                # The server, too, is to give up then.
                params={"query": query, "timeout": f"{math.ceil(self._timeout_s * 1000)}ms"},
                timeout=self._timeout_s,
                stream=True,
                allow_redirects=False,
            ) as response:
                status, body = response.status_code, self._body(response)
        except Timeout as error:
            # A server that is too slow with one query may be quick with the next.
            kind = PrometheusAwayError if isinstance(error, AwayError) else PrometheusError
            raise kind(f"no answer in time ({type(error).__name__})") from None
        except AwayError as error:
            raise PrometheusAwayError(f"no connection ({type(error).__name__})") from None
        except (RequestException, HTTPError, OSError) as error:
            # The text of these holds the address with its query, which says nothing more.
            raise PrometheusError(f"no usable answer ({type(error).__name__})") from None
        return self._number(status, body)

    def close(self) -> None:
        """Let go of the connection; the next question makes a new one."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _connected(self) -> "Session":
        if self._session is None:
            from requests import Session
            from requests.auth import HTTPBasicAuth

            self._session = Session()
            # What is counted in bytes is what comes over the wire.
            self._session.headers.update({"Accept": "application/json", "Accept-Encoding": "identity"})
            if self._user is not None:
                self._session.auth = HTTPBasicAuth(self._user.encode(), self._password.get_secret_value().encode())
        return self._session

    def _body(self, response: "Response") -> bytes:
        until = time.monotonic() + self._timeout_s
        body = b""
        # A server that sends a byte now and then keeps each single wait short.
        while part := response.raw.read1(_READ_AT_ONCE):
            body += part
            if len(body) > _LARGEST_ANSWER:
                raise PrometheusError(f"the answer is larger than {_LARGEST_ANSWER} bytes: does the query sum up?")
            if time.monotonic() > until:
                raise PrometheusError("no whole answer in time")
        return body

    def _number(self, status: int, body: bytes) -> float:
        if status in _REDIRECTS:
            raise PrometheusError(f"status {status}: a redirect is not followed")
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            raise PrometheusError(f"status {status}, and no JSON") from None
        if status != _OK or not isinstance(answer, dict) or answer.get("status") != "success":
            said = answer.get("error") if isinstance(answer, dict) else None
            raise PrometheusError(f"status {status}{self._said(said)}")
        if (lacks := _lacks(answer)) is not None:
            raise PrometheusError(f"the answer is incomplete{self._said(lacks)}")
        value = _sample(answer.get("data"))
        if not math.isfinite(value) or not 0 <= value <= _MOST:
            raise NoNumberError(f"{value} is no number of events")
        return value

    def _said(self, text: object) -> str:
        if not isinstance(text, str) or not text:
            return ""
        password = self._password.get_secret_value()
        return f": {(text.replace(password, '****') if password else text)[:_LONGEST_SAID]}"


def _lacks(answer: dict[str, Any]) -> object:
    """Why a part of what was counted may be missing, for a store did not answer, say; None if nothing is.

    A server in front of several gives what it has, and says so: as a warning, or by `isPartial` (VictoriaMetrics).
    """
    warnings = answer.get("warnings")
    for warning in warnings if isinstance(warnings, list) else ():
        # Remarks on the query, which stand among the warnings in versions that have no place of their own for them.
        if not str(warning).startswith(_REMARK):
            return warning
    return "" if answer.get("isPartial") is True else None


def _sample(data: Any) -> float:  # noqa: ANN401  # whatever the JSON holds
    kind = data.get("resultType") if isinstance(data, dict) else None
    result = data.get("result") if isinstance(data, dict) else None
    if kind == "vector" and isinstance(result, list):
        if not result:
            raise NoNumberError("nothing matches the query")
        if len(result) > 1:
            raise PrometheusError(f"the query gives {len(result)} numbers, not one: does it sum up?")
        result = result[0].get("value") if isinstance(result[0], dict) else None
    elif kind != "scalar":
        raise PrometheusError("the query gives neither a scalar nor a vector")
    # The instant, and the number as text, so that it may be NaN or infinite.
    if isinstance(result, list) and len(result) == 2 and isinstance(result[1], str):  # noqa: PLR2004  # just said
        with suppress(ValueError):
            return float(result[1])
    raise PrometheusError("the answer has no number in it")
