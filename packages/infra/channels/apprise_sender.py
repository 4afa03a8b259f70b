"""Sends messages through `apprise`: a channel is a name for an apprise URL, so e-mail, webhooks and chats are alike.

It decides which URL a message takes and what a failure means. apprise says only "failed" and logs the rest, so:

    unusable recipient, empty message   PermanentSendError: no later try can be better
    anything else                       TransientSendError: a channel that is not there, or has a wrong URL, may be
                                        mended, and that saves the message

URLs hold passwords and tokens. They stay inside `SecretStr`; what apprise says of a failure is scrubbed of every part
of the URL before it goes into an error, and apprise's own log lines are kept out of the log.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from pydantic import SecretStr

from packages.domain.notifications.sender import PermanentSendError, TransientSendError
from packages.infra.channels.recipients import recipient_fault

if TYPE_CHECKING:
    from apprise import AppriseResult

RECIPIENT = "{recipient}"
KEY_HEADER = "X-Idempotency-Key"
_EMAIL_SCHEMES = frozenset({"mailto", "mailtos"})
_LONGEST_REASON = 300
_SHORTEST_SECRET = 4


class AppriseSender:
    """Channels by name: `{"email": SecretStr("mailto://mail.example.com/?from=a@example.com&to={recipient}")}`.

    A URL with `{recipient}` needs a recipient for each message; one without ignores it. The idempotency key goes
    out as the header X-Idempotency-Key where the channel has headers, else as the last line of the body.
    `timeout_s` bounds each wait for the network, not the whole send.

    Raises:
        ValueError: a channel whose URL has no scheme, or a time-out that is not above 0.
    """

    def __init__(self, channels: Mapping[str, SecretStr], *, timeout_s: float = 15.0) -> None:
        for name, url in channels.items():
            if "://" not in url.get_secret_value():
                raise ValueError(
                    f"channel {name!r}: its value must be an apprise URL such as mailto://... or json://..."
                )
        if timeout_s <= 0:
            raise ValueError(f"timeout_s must be above 0: {timeout_s}")
        self._channels = dict(channels)
        self._timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"AppriseSender(channels={sorted(self._channels)})"

    def send(self, *, channel: str, recipient: str | None, subject: str, body: str, idempotency_key: str) -> None:
        """Send one message over `channel`.

        Raises:
            PermanentSendError: a recipient that the channel cannot use, or nothing to say.
            TransientSendError: not taken, no such channel, or its URL cannot be used.
        """
        if not subject.strip() and not body.strip():
            raise PermanentSendError(f"channel {channel!r}: the message has neither subject nor body", channel=channel)
        url = self._url(channel, recipient)
        service = self._service(channel, url, recipient)
        if "headers" in service.template_kwargs:
            # Percent-encoded, so that whatever is in a key stays one header line of ASCII.
            service.headers[KEY_HEADER] = quote(idempotency_key, safe=" :;,.@/_-+=")
        else:
            body = f"{body}\n\n[{KEY_HEADER}: {' '.join(idempotency_key.split())}]"
        result = self._notify(service, subject, body)
        if not result:
            raise TransientSendError(f"channel {channel!r}: {_reason(result, url)}", channel=channel)

    def _url(self, channel: str, recipient: str | None) -> str:
        secret = self._channels.get(channel)
        if secret is None:
            known = ", ".join(sorted(self._channels)) or "none"
            raise TransientSendError(f"channel {channel!r} is not configured; there are: {known}", channel=channel)
        template = secret.get_secret_value()
        if RECIPIENT not in template:
            return template
        fault = recipient_fault(recipient or "", is_email=_is_email(template))
        if fault is not None:
            raise PermanentSendError(f"channel {channel!r}: {fault}", channel=channel)
        return template.replace(RECIPIENT, quote(recipient or "", safe=""))

    def _service(self, channel: str, url: str, recipient: str | None) -> Any:  # noqa: ANN401 - each kind of channel is a class of its own
        from apprise import Apprise, AppriseAsset
        from apprise.common import PersistentStoreMode

        # Its lines name recipients and hosts. The outcome is logged once, by whoever asked to send.
        logging.getLogger("apprise").propagate = False
        # Nothing on the disk, and no thread that outlives the call: the time-outs of the sockets are the bound.
        asset = AppriseAsset(app_id="Minsy", storage_mode=PersistentStoreMode.MEMORY.value, service_timeout=0)
        service: Any = Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
        if service is None:
            raise TransientSendError(
                f"channel {channel!r}: apprise cannot use its URL; look at the scheme and its parts", channel=channel
            )
        template = self._channels[channel].get_secret_value()
        if RECIPIENT in template and _is_email(template):
            # apprise reads o'neil@example.com as the address neil@example.com of somebody called "o". The address
            # was checked, so it goes in past that.
            service.targets = [(False, recipient)]
        elif RECIPIENT in template and getattr(service, "targets", None) == []:
            raise PermanentSendError(f"channel {channel!r}: it does not take the recipient", channel=channel)
        service.socket_connect_timeout = self._timeout_s
        service.socket_read_timeout = self._timeout_s
        return service

    def _notify(self, service: Any, subject: str, body: str) -> "AppriseResult":  # noqa: ANN401 - as above
        from apprise import Apprise, NotifyFormat

        apprise = Apprise(service, asset=service.asset)
        return apprise.notify(body=body, title=subject, body_format=NotifyFormat.TEXT)


def _is_email(url: str) -> bool:
    return url.partition("://")[0].lower() in _EMAIL_SCHEMES


def _reason(result: "AppriseResult", url: str) -> str:
    """What apprise logged of a failure, on one line, without any part of the URL that may be secret."""
    text = " ".join(" ".join(entry.message.split()) for entry in result.logs())
    for part in _url_parts(url):
        text = text.replace(part, "****")
    return text[:_LONGEST_REASON] or "apprise gave no reason"


def _url_parts(url: str) -> list[str]:
    """The URL and its user, password, path segments and query values, as written and decoded, the longest first.

    The host stays: an operator needs it. For channels that put a token where others have the host it goes, too.
    """
    split = urlsplit(url)
    authority, _, host = split.netloc.rpartition("@")
    raw = [url, *authority.split(":", 1), *split.path.split("/")]
    raw += [value for pair in split.query.split("&") for value in pair.split("=", 1)[1:]]
    if "." not in host and ":" not in host and host != "localhost":
        raw.append(host)
    parts = {form for part in raw for form in (part, unquote(part)) if len(form) >= _SHORTEST_SECRET}
    return sorted(parts, key=len, reverse=True)
