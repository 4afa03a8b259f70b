"""The queues there are, and which worker profile serves each."""

from enum import StrEnum
from typing import NamedTuple


class Profile(StrEnum):
    """What a process is there for; the value of MINSY_CELERY_PROFILE."""

    BEAT = "beat"
    CPU = "cpu"
    IO = "io"
    ALL = "all"


class QueueDefinition(NamedTuple):
    """A queue by name, and the worker profile that serves it."""

    name: str
    profile: Profile


QUEUES = (
    QueueDefinition("backtest", Profile.CPU),
    QueueDefinition("stress", Profile.CPU),
    QueueDefinition("maintenance", Profile.IO),
    QueueDefinition("market_data", Profile.IO),
    QueueDefinition("paper_trading", Profile.IO),
    QueueDefinition("notifications", Profile.IO),
    QueueDefinition("trade_approval", Profile.IO),
)


def queues_of(profile: Profile) -> tuple[str, ...]:
    """The names of the queues that a process of this profile consumes: all for `all`, none for `beat`."""
    return tuple(queue.name for queue in QUEUES if profile in {Profile.ALL, queue.profile})
