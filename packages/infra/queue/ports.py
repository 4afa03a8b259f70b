"""The outside world as the settings choose it: where prices come from and how notifications go out."""

import os
from functools import cache

from packages.domain.market_data.provider import MarketDataProvider
from packages.domain.notifications.sender import Sender
from packages.infra.channels.apprise_sender import AppriseSender
from packages.infra.channels.channels import effective_channels
from packages.infra.embedded.endpoints import read_endpoints
from packages.infra.providers.alpaca import AlpacaOptions
from packages.infra.providers.factory import RecordedOptions, make_provider
from packages.infra.queue.resources import now
from packages.shared_settings import get_worker_io_settings


@cache
def provider() -> MarketDataProvider:
    """The market data provider that the settings choose."""
    settings = get_worker_io_settings()
    key, secret = settings.alpaca_api_key, settings.alpaca_api_secret
    alpaca = None
    if key is not None and secret is not None:
        alpaca = AlpacaOptions(api_key=key, secret_key=secret, feed=settings.alpaca_feed)
    return make_provider(
        settings.market_data_provider,
        now=now(),
        recorded=RecordedOptions(
            anchor_path=settings.minsy_var_dir / "market_data" / "replay_anchor",
            speed=settings.market_data_replay_speed,
        ),
        alpaca=alpaca,
    )


def sender() -> Sender:
    """The sender of notifications over the configured channels; made anew, since the mail sink may have moved.

    While the sink is down there is no channel for e-mail, and what is sent to it waits for another try.
    """
    settings = get_worker_io_settings()
    sink = read_endpoints(settings.minsy_var_dir) if settings.notification_smtp_sink_enabled else None
    return AppriseSender(effective_channels(settings.notification_channels, sink_url=sink.smtp_url if sink else None))


# A parent that used its provider before it forked must not share its connections with its child.
os.register_at_fork(after_in_child=provider.cache_clear)
