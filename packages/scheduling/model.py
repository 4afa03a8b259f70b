"""A job as the engine knows it, and how much it matters. Pure: nothing here reads a clock, a file or a setting."""

from dataclasses import dataclass
from enum import StrEnum

from packages.scheduling.policies import DEFAULT_POLICIES, Policies
from packages.scheduling.triggers.base import Trigger


class Criticality(StrEnum):
    """Who is held back last, highest first."""

    CRITICAL_PLUS = "critical_plus"
    CRITICAL = "critical"
    SHEDDABLE_PLUS = "sheddable_plus"
    SHEDDABLE = "sheddable"

    # That of an enumeration is a function in Python, and rates and debts are looked up by it for every fire.
    __hash__ = str.__hash__

    @property
    def is_critical(self) -> bool:
        """Whether a fire that has waited too long is published rather than dropped."""
        return self is Criticality.CRITICAL or self is Criticality.CRITICAL_PLUS


@dataclass(frozen=True, slots=True)
class Job:
    """One declared piece of periodic work. Its identity is `name`.

    `queue` is where its messages go, as far as is known. `expires_ms` is how long an unstarted message stays worth
    running; a later one is dropped by the worker. None: for ever.
    """

    name: str
    task: str
    trigger: Trigger
    queue: str
    criticality: Criticality
    expires_ms: int | None = None
    policies: Policies = DEFAULT_POLICIES

    def __post_init__(self) -> None:
        if self.expires_ms is not None and self.expires_ms <= 0:
            raise ValueError(f"job {self.name}: expires_ms must be above zero, not {self.expires_ms}")
