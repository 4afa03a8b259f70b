"""A message of the laboratory, from its publish to its end. It is changed by whoever holds it."""

from dataclasses import dataclass
from enum import StrEnum

from packages.scheduling.message_priority import FIRST
from packages.scheduling.model import Criticality


class Fate(StrEnum):
    """Where a message is, or how it ended."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    LOST = "lost"


@dataclass(slots=True, eq=False)
class Message:
    """`injected`: it was put there by an event, and published by nobody. `started_at` is that of its last run.

    `priority`: the lower goes first.
    """

    job: str
    task: str
    queue: str
    criticality: Criticality
    nominal: int
    planned: int
    published_at: int
    expires_at: int | None
    priority: int = FIRST
    injected: bool = False
    fate: Fate = Fate.WAITING
    started_at: int | None = None
    ended_at: int | None = None
