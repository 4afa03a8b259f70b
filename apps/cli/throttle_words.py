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
from packages.scheduling.model import Criticality, Job
from packages.scheduling.snapshot import Exemption, Pin, Snapshot
from packages.scheduling.throttle import is_pinned, pin_of

THROTTLES: Final = frozenset({pin.NAME, backlog.NAME, slo.NAME, failing_target.NAME})


def is_throttle(opinion: Opinion) -> bool:
    """Whether it is of a gate that lets a share of a job's fires through."""
    return opinion.gate in THROTTLES


def is_of_unserved(opinion: Opinion, snapshot: Snapshot) -> bool:
    """Whether a throttle is there because nobody serves the queue; of a fire in turn its reason does not say so."""
    control = snapshot.controllers.queues.get(str(dict(opinion.facts).get("queue")))
    return opinion.gate == backlog.NAME and control is not None and control.unserved


def throttle_in_words(opinion: Opinion, snapshot: Snapshot, *, until: int | None) -> str:
    """What is the matter, and what becomes of the fire, which waits until `until` if it is not None."""
    return f"{_cause(opinion, snapshot)} {_outcome(opinion, until)}"


def left_alone_in_words(job: Job, snapshot: Snapshot, at: int) -> str | None:
    """Why the adaptive control leaves a job alone, though its gates may say nothing of it; and what changes that.

    None: nobody has said so.
    """
    exemption = snapshot.exempt.get(job.name)
    if exemption is not None and exemption.holds(at):
        return (
            f"The job is exempt{_span(exemption)}: no pin holds it, nor does the adaptive control. "
            f"To end that: minsy control unexempt {job.name}"
        )
    pinned = pin_of(job, snapshot, at)
    # Of any other rate the gate itself speaks.
    if pinned is None or pinned.rate < ONE or not is_pinned(job.queue, job.criticality, snapshot, at):
        return None
    of_criticality = "" if pinned.criticality is None else f" --criticality {pinned.criticality.value}"
    return (
        f"An operator has pinned {pinned_in_words(pinned.queue, pinned.criticality)} at {rate_in_words(pinned.rate)}"
        f"{_span(pinned)}: the adaptive control leaves it alone. "
        f"To end that: minsy control unpin --queue {pinned.queue}{of_criticality}"
    )


def _span(said: Exemption | Pin) -> str:
    ends = "" if said.until is None else f" until {instant_text(said.until)}"
    return f" since {instant_text(said.since)}{ends}{f' ({said.note})' if said.note else ''}"


def _cause(opinion: Opinion, snapshot: Snapshot) -> str:
    facts = dict(opinion.facts)
    since, share = _since(facts), _share(facts)
    match opinion.gate:
        case pin.NAME:
            until, note, criticality = facts.get("until"), facts.get("note"), facts.get("criticality")
            ends = f" until {instant_text(until)}" if isinstance(until, int) else ""
            what = pinned_in_words(str(facts["queue"]), None if criticality is None else Criticality(str(criticality)))
            said = f" ({note})" if note else ""
            return f"An operator has pinned {what} at {rate_in_words(_rate(facts))}{since}{ends}{said}."
        case backlog.NAME if is_of_unserved(opinion, snapshot):
            return f"No worker that lives serves the queue {facts['queue']}{since}: {_kept_for_one(facts)}."
        case backlog.NAME:
            return f"The queue {facts['queue']}{_standing(facts)}. It is throttled{since}: {share}."
        case slo.NAME:
            level = f"at level {facts['level']} of 3{since}"
            return f"The objective {facts['objective']} burns its error budget, {level}: {share}."
        case _:
            return f"Nearly every run of the task {facts['task']} fails. It is throttled{since}: {share}, as probes."


def _standing(facts: dict[str, str | int]) -> str:
    wait_ms, messages = facts.get("wait_ms"), facts.get("messages")
    if isinstance(wait_ms, int):
        return f", where messages wait {duration_in_words(wait_ms * ONE_MS)}, does not drain"
    if isinstance(messages, int):
        return f", where {messages:,} messages wait and nobody tells for how long, does not get shorter"
    return " does not drain"


def _kept_for_one(facts: dict[str, str | int]) -> str:
    """What is there for a worker that comes: only critical work has a rate above none."""
    if not _rate(facts):
        return "one fire of the job waits for one"
    kept = "one message of the job that is still alive is kept there, a new one when the one before is about to expire"
    return f"{kept}; {_share(facts)}"


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
