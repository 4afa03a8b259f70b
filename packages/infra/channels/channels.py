"""Which channels there are: the configured ones, and in development e-mail into the sink."""

from collections.abc import Mapping
from urllib.parse import quote

from pydantic import SecretStr

from packages.shared_settings.workers import EMAIL

SENDER_ADDRESS = "minsy@localhost.localdomain"


def effective_channels(configured: Mapping[str, SecretStr], *, sink_url: str | None) -> dict[str, SecretStr]:
    """Channel names with their Apprise URLs. A configured `email` wins over the sink at `sink_url` (smtp://host:port)."""
    if sink_url is None or EMAIL in configured:
        return dict(configured)
    address = sink_url.removeprefix("smtp://")
    mail = f"mailto://{address}/?from={quote(SENDER_ADDRESS)}&to={{recipient}}&mode=insecure"
    return {**configured, EMAIL: SecretStr(mail)}
