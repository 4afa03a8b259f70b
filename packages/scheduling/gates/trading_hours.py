"""Lets a job fire only while one of its markets is open, margins included; otherwise its fire is skipped.

A market without a calendar, or at a date that its calendar does not know, is neither open nor closed: what it counts
as is the job's own choice, and then the reason says so. A backfilled fire stands for a past moment: it is judged by
that moment's hours, not by those of now.
"""

from typing import Final, NamedTuple

from packages.scheduling.candidate import Candidate
from packages.scheduling.decision import Fact, Opinion, Reason, Verdict
from packages.scheduling.instants import NEVER_ENDS, to_datetime
from packages.scheduling.policies import GateMode, Policies, TradingHours, UnknownDates
from packages.scheduling.snapshot import Snapshot

NAME: Final = "trading_hours"


class _State(NamedTuple):
    """`is_open` None: unknown. It stays so until `until` (exclusive)."""

    is_open: bool | None
    until: int
    fact: Fact


def may_speak(policies: Policies, snapshot: Snapshot) -> bool:  # noqa: ARG001  # whatever is known
    """Whether the job has trading hours."""
    return policies.trading_hours is not None


def opinion(candidate: Candidate, snapshot: Snapshot) -> Opinion | None:
    """A fire while a market is open, else a skip. Markets that workers report as in use count like the job's own."""
    policy = candidate.job.policies.trading_hours
    if policy is None or (policy.mode is GateMode.OFF and NAME not in snapshot.gate_modes):
        return None
    at = candidate.nominal if candidate.is_backfill else candidate.at
    states = [_state(market, at, policy, snapshot) for market in _markets(policy, snapshot)]
    verdict, reason = _verdict(states, policy)
    return Opinion(
        NAME,
        verdict,
        reason,
        holds_until=candidate.at + 1 if candidate.is_backfill else min(state.until for state in states),
        facts=tuple(state.fact for state in states),
        mode=policy.mode,
    )


def _markets(policy: TradingHours, snapshot: Snapshot) -> tuple[str, ...]:
    if snapshot.active_markets is None or snapshot.active_markets.value <= frozenset(policy.markets):
        return policy.markets
    return tuple(sorted({*policy.markets, *snapshot.active_markets.value}))


def _verdict(states: list[_State], policy: TradingHours) -> tuple[Verdict, Reason]:
    if any(state.is_open for state in states):
        return Verdict.FIRE, Reason.MARKET_OPEN
    if all(state.is_open is False for state in states):
        return Verdict.SKIP, Reason.MARKET_CLOSED
    if policy.unknown is UnknownDates.FAIL_OPEN:
        return Verdict.FIRE, Reason.MARKET_UNKNOWN
    return Verdict.SKIP, Reason.MARKET_UNKNOWN


def _state(market: str, at: int, policy: TradingHours, snapshot: Snapshot) -> _State:
    table = snapshot.markets.get(market)
    if table is None:
        return _State(is_open=None, until=NEVER_ENDS, fact=(market, "no calendar"))
    until = table.open_until(at, before_ms=policy.before_ms, after_ms=policy.after_ms)
    if until is not None:
        return _State(is_open=True, until=until, fact=(market, f"open until {_text(until)}"))
    opens = table.next_open(at + policy.before_ms)
    until = NEVER_ENDS if opens is None else opens - policy.before_ms
    if not table.covers(at):
        until = min(until, table.known_from) if at < table.known_from else until
        return _State(is_open=None, until=until, fact=(market, "unknown date"))
    until = min(until, table.known_until)
    return _State(is_open=False, until=until, fact=(market, f"closed until {_text(until)}"))


def _text(instant: int) -> str:
    return to_datetime(instant).isoformat().replace("+00:00", "Z")
