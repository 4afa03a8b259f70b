"""Lets that share of a queue's fires through that an operator has pinned, whatever the adaptive control thinks."""

from typing import Final

from packages.scheduling.candidate import Candidate
from packages.scheduling.decision import Fact, Opinion, Reason
from packages.scheduling.policies import Policies
from packages.scheduling.snapshot import Pin, Snapshot
from packages.scheduling.throttle import PINS, opinion_at, pin_of

NAME: Final = PINS


def may_speak(policies: Policies, snapshot: Snapshot) -> bool:  # noqa: ARG001  # of any job
    """Whether anything is pinned."""
    return bool(snapshot.pins)


def opinion(candidate: Candidate, snapshot: Snapshot) -> Opinion | None:
    """A fire in turn or a defer while a pin holds the job."""
    pin = pin_of(candidate.job, snapshot, candidate.at)
    return None if pin is None else opinion_at(pin.rate, NAME, candidate, Reason.PINNED, _facts(pin))


def _facts(pin: Pin) -> tuple[Fact, ...]:
    facts: list[Fact] = [("queue", pin.queue)]
    if pin.criticality is not None:
        facts.append(("criticality", pin.criticality.value))
    facts.append(("since", pin.since))
    if pin.until is not None:
        facts.append(("until", pin.until))
    if pin.note:
        facts.append(("note", pin.note))
    return tuple(facts)
