"""What a throttle of the adaptive control does to a job, in sentences: why, since when, and how much goes out."""

from typing import Final

from apps.cli.control_words import pinned_in_words
from apps.cli.decision_words import instant_text
from apps.cli.moments import duration_in_words
from apps.cli.rates import rate_in_words
from packages.scheduling.control.shares import ONE
from packages.scheduling.decision import Opinion, Reason, Verdict
from packages.scheduling.gates import backlog, failing_target, pin, slo
from packages.scheduling.instants import ONE_MS
from packages.scheduling.model import Criticality

THROTTLES: Final = frozenset({pin.NAME, backlog.NAME, slo.NAME, failing_target.NAME})


def is_throttle(opinion: Opinion) -> bool:
    """Whether it is of a gate that lets a share of a job's fires through."""
    return opinion.gate in THROTTLES


def throttle_in_words(opinion: Opinion, *, until: int | None) -> str:
    """What is the matter, and what becomes of the fire, which waits until `until` if it is not None."""
    return f"{_cause(opinion)} {_outcome(opinion, until)}"


def _cause(opinion: Opinion) -> str:
    facts = dict(opinion.facts)
    since, share = _since(facts), _share(facts)
    match opinion.gate:
        case pin.NAME:
            until, note, criticality = facts.get("until"), facts.get("note"), facts.get("criticality")
            ends = f" until {instant_text(until)}" if isinstance(until, int) else ""
            what = pinned_in_words(str(facts["queue"]), None if criticality is None else Criticality(str(criticality)))
            said = f" ({note})" if note else ""
            return f"An operator has pinned {what} at {rate_in_words(_rate(facts))}{since}{ends}{said}."
        case backlog.NAME if opinion.reason is Reason.NO_CONSUMER:
            return f"No worker that lives serves the queue {facts['queue']}{since}: one fire of the job waits for one."
        case backlog.NAME:
            wait_ms = facts.get("wait_ms")
            waits = f", where messages wait {duration_in_words(wait_ms * ONE_MS)}" if isinstance(wait_ms, int) else ""
            return f"The queue {facts['queue']}{waits}, does not drain. It is throttled{since}: {share}."
        case slo.NAME:
            level = f"at level {facts['level']} of 3{since}"
            return f"The objective {facts['objective']} burns its error budget, {level}: {share}."
        case _:
            return f"Nearly every run of the task {facts['task']} fails. It is throttled{since}: {share}, as probes."


def _outcome(opinion: Opinion, until: int | None) -> str:
    if opinion.verdict is Verdict.DEFER and until is not None:
        asked_again = f"it waits, and is asked again at {instant_text(until)}, unless the job's next one takes it up"
        return f"This fire is out of turn: {asked_again}."
    if opinion.verdict is Verdict.DEFER:
        return "This fire is out of turn."
    return "This fire has waited long enough." if opinion.reason is Reason.STALE else "This fire is in turn."


def _since(facts: dict[str, str | int]) -> str:
    since = facts.get("since")
    return f" since {instant_text(since)}" if isinstance(since, int) else ""


def _share(facts: dict[str, str | int]) -> str:
    rate = _rate(facts)
    return f"{rate_in_words(rate)} of the job's fires go out" if rate else "none of the job's fires goes out"


def _rate(facts: dict[str, str | int]) -> int:
    return round(float(facts["rate"]) * ONE)
