"""Publishing as the loop sees it: a tick's fires go out under a term, each at most once, with what is to be kept.

A publisher never decides what is published. `publishers.redis_publisher` commits in one step with claims, states and
ledger; `publishers.kombu_publisher` works on every other broker.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple, Protocol

from celery.beat import ScheduleEntry

from packages.scheduling.decision import Decision
from packages.scheduling.plan import Fire
from packages.scheduling.state import JobState


class Fate(Enum):
    """What became of a fire.

    ACCEPTED: the broker has its message. CLAIMED: it was published before, by whomever; nothing was sent now.
    REFUSED: the term is not ours any more; nothing was done. FAILED: nothing was done, or nobody knows.
    """

    ACCEPTED = "accepted"
    CLAIMED = "claimed"
    REFUSED = "refused"
    FAILED = "failed"


class FireOut(NamedTuple):
    """A fire to publish, and its entry."""

    fire: Fire
    entry: ScheduleEntry


class Settled(NamedTuple):
    """What became of one fire. `error` says why it failed; `at` is the instant of publishing, for an accepted one."""

    fate: Fate
    error: BaseException | None = None
    at: int | None = None


class Commit(NamedTuple):
    """What is to happen together.

    `tick` is the number of the tick and `tick_record` its text for the ledger. `decisions` go to the ledger whatever
    becomes of the fires. `states` hold for when all fires are accepted: that of a job is kept with its fires, or by a
    later commit, and not at all when one of them fails. `forgotten`: jobs that are no more. `controllers`: the state of
    the adaptive control as text, whatever becomes of the fires; "" leaves alone what is kept.
    """

    term: int
    now: int
    tick: str
    tick_record: str
    fires: Sequence[FireOut] = ()
    decisions: Sequence[Decision] = ()
    states: Mapping[str, JobState] = MappingProxyType({})
    forgotten: Collection[str] = ()
    controllers: str = ""


class Committed(NamedTuple):
    """What became of a commit: `settled` in the order of its fires, `kept` the jobs whose states were kept.

    `is_recorded`: whether the decisions were, the record of the tick, and the controllers. `error`: what stood in the
    way of the whole; None when nothing did.
    """

    settled: Sequence[Settled]
    kept: Collection[str]
    is_recorded: bool
    error: BaseException | None = None


# Is told the numbers of some fires, and the instant at which they were published: each fire once at most.
Accepted = Callable[[Sequence[int], int], None]


def nobody(_: Sequence[int], __: int) -> None:
    """Nobody wants to hear of a fire before the commit is over."""


class Publisher(Protocol):
    """See the module. For one thread."""

    @property
    def first_batch(self) -> int:
        """How many fires are well committed at once, as long as nothing is known of the broker."""
        ...

    def commit(self, commit: Commit, accepted: Accepted = nobody) -> Committed:
        """Publish and keep. Never raises because of a server: that is an `error`. Repeating it does no harm.

        `accepted` may be called meanwhile, with fires that are known to be accepted.
        """
        ...

    def unfinished(self, term: int) -> Sequence[tuple[str, int, int, str]]:
        """Fires (job, nominal, planned, origin) that a leader before has claimed and may not have published."""
        ...

    def prepare(self, name: str, entry: ScheduleEntry, now: int) -> None:
        """A fire of this entry is near, and there is time: do of its message what can be done before.

        Raises:
            MakerAwayError: the broker would have to be asked, and is away.
            Exception: there is something wrong with the entry; it is found again when it is due.
        """
        ...

    def forget(self, name: str) -> None:
        """The entry of this name is another one from now on, or no more."""
        ...

    def hand_over(self) -> None:
        """The lease is about to be given back: settle what the next leader would publish again.

        May be called by the handler of a signal, in the middle of anything.
        """
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...
