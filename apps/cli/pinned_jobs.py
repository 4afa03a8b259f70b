"""Which jobs of the catalogue a pin holds, and why it may be none."""

from packages.catalogue.jobs import JOBS
from packages.scheduling.model import Criticality
from packages.scheduling.snapshot import Pin, Snapshot
from packages.scheduling.throttle import pin_of_kind


def held_by(pin: Pin) -> list[str]:
    """The names of the jobs that it would hold when it begins, whether or not they are on or exempt."""
    snapshot = Snapshot(pin.since, pins={(pin.queue, pin.criticality): pin})
    return [job.name for job in JOBS if pin_of_kind(job.queue, job.criticality, snapshot, pin.since) is not None]


def why_none_in_words(pin: Pin) -> str:
    """Of a pin that holds no job: which there are instead."""
    others = {job.criticality for job in JOBS if job.queue == pin.queue}
    if not others:
        return "It holds no job: the catalogue has none for this queue."
    there = ", ".join(each.value for each in Criticality if each in others)
    named = "" if pin.criticality is not None else ", which has to be named: --criticality critical_plus"
    return f"It holds no job: those of this queue are {there}{named}."
