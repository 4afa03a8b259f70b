"""Chooses the market data provider by its name. Reads no settings: the caller passes every value."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from packages.domain.market_data.provider import MarketDataProvider
from packages.infra.providers.alpaca import AlpacaOptions, AlpacaProvider
from packages.infra.providers.recorded import RecordedProvider
from packages.infra.providers.replay_anchor import load_or_create_anchor
from packages.infra.providers.replay_clock import DEFAULT_START, ReplayClock

PROVIDERS = ("recorded", "alpaca")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedOptions:
    """How the recording is replayed. `anchor_path` is shared by all processes; `speed` is recorded s per real s."""

    anchor_path: Path
    speed: float
    start: dt.datetime = DEFAULT_START


def make_provider(
    name: str,
    *,
    now: dt.datetime,
    recorded: RecordedOptions | None = None,
    alpaca: AlpacaOptions | None = None,
) -> MarketDataProvider:
    """The provider called `name`; only the options of that one are needed.

    Raises:
        ValueError: an unknown name, missing options, or options that make no sense.
        AnchorFileError: the replay's anchor file cannot be used.
    """
    if name == "recorded" and recorded is not None:
        anchor = load_or_create_anchor(recorded.anchor_path, now)
        return RecordedProvider(ReplayClock(anchor=anchor, speed=recorded.speed, start=recorded.start))
    if name == "alpaca" and alpaca is not None:
        return AlpacaProvider(alpaca)
    if name in PROVIDERS:
        raise ValueError(f"market data provider {name!r}: its options are missing")
    raise ValueError(f"market data provider {name!r} is not known; allowed: {', '.join(PROVIDERS)}")
