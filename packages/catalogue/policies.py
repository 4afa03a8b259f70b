"""The policies of one job: what the catalogue says, with what the settings override. Contradictions are refused.

Nothing is decided here about what a policy does; that is said by the engine.
"""

from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from packages.scheduling.instants import DAY_MS, MINUTE_MS, SECOND_MS, to_ms
from packages.scheduling.policies import (
    CatchUp,
    CatchUpMode,
    GateMode,
    OverlapMode,
    Policies,
    PolicyError,
    TradingHours,
    UnknownDates,
    Windows,
)
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.policies import PolicyOverrides

# Wide enough to flatten a burst, and hardly seen beside the period.
JITTERED_PART_OF_PERIOD = 10
LONGEST_DEFAULT_JITTER_MS = 30 * SECOND_MS


class PolicyDefaults(NamedTuple):
    """What holds of a job as long as no setting says otherwise.

    `jitter` None: a tenth of the period, at most 30 s; none without a period. `catch_up_window` None: for as long as a
    message of the job is worth running. `in_trading_hours`: only while a market is open, as the settings say.
    """

    jitter: timedelta | None = None
    catch_up: CatchUpMode = CatchUpMode.LATEST
    catch_up_window: timedelta | None = None
    overlap: OverlapMode = OverlapMode.ALLOW
    in_trading_hours: bool = False


def policies_of(
    defaults: PolicyDefaults,
    overrides: PolicyOverrides,
    *,
    settings: BeatSettings,
    period_ms: int | None,
    lifetime_ms: int,
) -> Policies:
    """The policies of a job with this period (None: no interval), whose messages are worth running for `lifetime_ms`.

    Raises:
        PolicyError: the overrides contradict each other or the job; the text names the key.
    """
    trading_hours, windows = _trading_hours(defaults, overrides, settings), _windows(overrides)
    if overrides.unknown_dates is not None and trading_hours is None and windows is None:
        raise PolicyError("unknown_dates needs trading_hours or windows, and this job has neither")
    return Policies(
        jitter_ms=_jitter_ms(defaults, overrides, period_ms),
        catch_up=_catch_up(defaults, overrides, lifetime_ms),
        overlap=defaults.overlap if overrides.overlap is None else OverlapMode(overrides.overlap),
        trading_hours=trading_hours,
        windows=windows,
        max_staleness_ms=_minutes(overrides.max_staleness_minutes),
    )


def _jitter_ms(defaults: PolicyDefaults, overrides: PolicyOverrides, period_ms: int | None) -> int:
    if overrides.jitter_seconds is not None:
        jitter_ms = round(overrides.jitter_seconds * SECOND_MS)
    elif defaults.jitter is not None:
        jitter_ms = to_ms(defaults.jitter)
    else:
        jitter_ms = min((period_ms or 0) // JITTERED_PART_OF_PERIOD, LONGEST_DEFAULT_JITTER_MS)
    if period_ms is not None and jitter_ms >= period_ms:
        raise PolicyError(
            f"jitter_seconds {jitter_ms / SECOND_MS:g} is not below the period, {period_ms / SECOND_MS:g} s"
        )
    return jitter_ms


def _catch_up(defaults: PolicyDefaults, overrides: PolicyOverrides, lifetime_ms: int) -> CatchUp:
    mode = defaults.catch_up if overrides.catch_up is None else CatchUpMode(overrides.catch_up)
    if mode is CatchUpMode.SKIP and overrides.catch_up_window_minutes is not None:
        raise PolicyError("catch_up_window_minutes goes with the catch_up latest or all, not with skip")
    if mode is not CatchUpMode.ALL and overrides.catch_up_limit is not None:
        raise PolicyError(f"catch_up_limit goes with the catch_up all, not with {mode}")
    window_ms = _minutes(overrides.catch_up_window_minutes)
    if window_ms is None:
        window_ms = lifetime_ms if defaults.catch_up_window is None else to_ms(defaults.catch_up_window)
        if mode is CatchUpMode.ALL:
            # The life of a message of an interval is two periods, which would be two fires.
            window_ms = max(window_ms, DAY_MS)
    limit = overrides.catch_up_limit
    return CatchUp(mode, window_ms) if limit is None else CatchUp(mode, window_ms, limit)


def _trading_hours(defaults: PolicyDefaults, overrides: PolicyOverrides, settings: BeatSettings) -> TradingHours | None:
    if not defaults.in_trading_hours and overrides.trading_hours is None:
        if idle := sorted(key for key in overrides.given if key.startswith("trading_hours_")):
            raise PolicyError(f"{idle[0]} needs trading_hours, for this job has none of its own")
        return None
    before, after = overrides.trading_hours_margin_before_minutes, overrides.trading_hours_margin_after_minutes
    return TradingHours(
        markets=overrides.trading_hours_markets or settings.trading_hours_markets,
        before_ms=MINUTE_MS * (settings.trading_hours_margin_before_minutes if before is None else before),
        after_ms=MINUTE_MS * (settings.trading_hours_margin_after_minutes if after is None else after),
        unknown=UnknownDates(overrides.unknown_dates or settings.trading_hours_unknown_dates),
        mode=GateMode(overrides.trading_hours or settings.trading_hours_gate),
    )


def _windows(overrides: PolicyOverrides) -> Windows | None:
    if overrides.windows is None:
        if overrides.windows_gate is not None:
            raise PolicyError("windows_gate needs windows")
        return None
    # Imported here: most jobs may run at any time, and beat starts without it.
    from packages.scheduling.windows import parse_windows

    windows = parse_windows(overrides.windows)
    if overrides.windows_gate is not None:
        windows = replace(windows, mode=GateMode(overrides.windows_gate))
    if overrides.unknown_dates is not None:
        windows = replace(windows, unknown=UnknownDates(overrides.unknown_dates))
    return windows


def _minutes(minutes: int | None) -> int | None:
    return None if minutes is None else minutes * MINUTE_MS
