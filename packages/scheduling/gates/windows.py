"""Holds a job to its windows of time: a fire outside of them waits for the next one, or is skipped, as the job says.

`fail_open` lets a fire pass where the calendar of a market to stay outside of is not known; `fail_closed` takes the
market to be in session.
"""

from dataclasses import replace
from typing import Final

from packages.scheduling.candidate import Candidate
from packages.scheduling.decision import Fact, Opinion, Reason, Verdict
from packages.scheduling.instants import DAY_MS, NEVER_ENDS, to_datetime
from packages.scheduling.policies import GateMode, Policies, UnknownDates, WindowAction, Windows
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.window_times import (
    SEARCH_DAYS,
    Markets,
    calendars_change,
    inside_until,
    next_inside,
    unknown_markets,
)

NAME: Final = "windows"


def may_speak(policies: Policies, snapshot: Snapshot) -> bool:  # noqa: ARG001  # whatever is known
    """Whether the job has windows."""
    return policies.windows is not None


def opinion(candidate: Candidate, snapshot: Snapshot) -> Opinion | None:
    """A fire inside a window; outside, a defer until the next one opens, or a skip if asked for or if it is too far."""
    policy = candidate.job.policies.windows
    if policy is None or (policy.mode is GateMode.OFF and NAME not in snapshot.gate_modes):
        return None
    # Imported here: most jobs may run at any time, and beat starts without the parser that stands beside it.
    from packages.scheduling.windows import windows_text

    at, markets = candidate.at, snapshot.markets
    unknown = unknown_markets(policy, at, markets)
    facts: tuple[Fact, ...] = (("window", windows_text(policy)), *((market, "unknown") for market in unknown))
    until = inside_until(policy, at, markets)
    if until is not None:
        reason = Reason.MARKET_UNKNOWN if unknown else Reason.IN_WINDOW
        facts += () if until >= NEVER_ENDS else (("until", _text(until)),)
        return Opinion(NAME, Verdict.FIRE, reason, holds_until=until, facts=facts, mode=policy.mode)
    reason, reason_holds_until = _reason_outside(policy, at, markets)
    opens = next_inside(policy, at, markets)
    # When none was found, the search goes a day further tomorrow.
    holds_until = min(reason_holds_until, _tomorrow(at) if opens is None else opens)
    facts += (("next", f"none within {SEARCH_DAYS} days" if opens is None else _text(opens)),)
    if opens is None or policy.action is WindowAction.SKIP:
        return Opinion(NAME, Verdict.SKIP, reason, holds_until=holds_until, facts=facts, mode=policy.mode)
    return Opinion(NAME, Verdict.DEFER, reason, until=opens, holds_until=holds_until, facts=facts, mode=policy.mode)


def _reason_outside(policy: Windows, at: int, markets: Markets) -> tuple[Reason, int]:
    """Why the window is shut, and until when this stays the reason at least."""
    until = calendars_change(policy, at, markets)
    if not unknown_markets(policy, at, markets):
        return Reason.OUTSIDE_WINDOW, until
    # Would it be open if what is not known counted for nothing?
    known_only = replace(policy, unknown=UnknownDates.FAIL_OPEN)
    open_until = inside_until(known_only, at, markets)
    if open_until is not None:
        return Reason.MARKET_UNKNOWN, min(until, open_until)
    opens = next_inside(known_only, at, markets)
    return Reason.OUTSIDE_WINDOW, min(until, _tomorrow(at) if opens is None else opens)


def _tomorrow(at: int) -> int:
    return (at // DAY_MS + 1) * DAY_MS


def _text(instant: int) -> str:
    return to_datetime(instant).isoformat().replace("+00:00", "Z")
