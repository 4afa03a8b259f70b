"""A job as short texts, one for each of its properties: for people, and to see in what two of it differ."""

from datetime import timedelta

from packages.scheduling.instants import ONE_MS
from packages.scheduling.model import Job
from packages.scheduling.policies import CatchUpMode, TradingHours
from packages.scheduling.windows import windows_text

_NONE = "none"


def facts_of(job: Job) -> dict[str, str]:
    """Every property of a job but its name, as text; two jobs that behave differently differ in it."""
    policies = job.policies
    catch_up = policies.catch_up
    made_up_for = {
        CatchUpMode.SKIP: "skip",
        CatchUpMode.LATEST: f"latest, within {_length(catch_up.window_ms)}",
        CatchUpMode.ALL: f"all, at most {catch_up.limit}, within {_length(catch_up.window_ms)}",
    }
    return {
        "task": job.task,
        "trigger": job.trigger.describe(),
        "queue": job.queue,
        "criticality": job.criticality.value,
        "expires": _NONE if job.expires_ms is None else _length(job.expires_ms),
        "jitter": f"below {_length(policies.jitter_ms)}" if policies.jitter_ms else _NONE,
        "catch_up": made_up_for[catch_up.mode],
        "overlap": policies.overlap.value,
        "trading_hours": _NONE if policies.trading_hours is None else _trading_hours(policies.trading_hours),
        "windows": _NONE if policies.windows is None else windows_text(policies.windows),
        "max_staleness": _length(policies.stale_after_ms),
    }


def _trading_hours(policy: TradingHours) -> str:
    margins = f"{_length(policy.before_ms)} before to {_length(policy.after_ms)} after"
    return f"{','.join(policy.markets)}, {margins}, {policy.unknown.value}, {policy.mode.value}"


def _length(length_ms: int) -> str:
    """Exact, in the units that it needs: `1d2h`, `30s`, `250ms`."""
    rest = length_ms * ONE_MS
    words = []
    for unit, length in (
        ("d", timedelta(days=1)),
        ("h", timedelta(hours=1)),
        ("m", timedelta(minutes=1)),
        ("s", timedelta(seconds=1)),
        ("ms", ONE_MS),
    ):
        count, rest = divmod(rest, length)
        if count:
            words.append(f"{count}{unit}")
    return "".join(words) or "0s"
