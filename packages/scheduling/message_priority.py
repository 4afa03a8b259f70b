"""How urgent a message is to the worker that takes it, by the criticality of its job.

The numbers are those of kombu's Redis transport: 0 goes first, and each step (0, 3, 6, 9) is a list of its own in every
queue. Whoever says nothing is at 0.
"""

from collections.abc import Mapping
from typing import Final

from packages.scheduling.model import Criticality

FIRST: Final = 0
PRIORITIES: Final[Mapping[Criticality, int]] = {
    Criticality.CRITICAL_PLUS: FIRST,
    Criticality.CRITICAL: FIRST,
    Criticality.SHEDDABLE_PLUS: 3,
    Criticality.SHEDDABLE: 6,
}
