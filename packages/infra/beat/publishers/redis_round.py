"""What became of one commit so far, call by call. Nothing is sent here."""

from collections import deque
from typing import TYPE_CHECKING, Final

from packages.infra.beat.publisher import Accepted, Commit, Committed, Fate, Settled
from packages.infra.beat.publishers.commit_script import CommitCall

if TYPE_CHECKING:
    from packages.infra.beat.messages.message import Message

_REFUSED: Final = Settled(Fate.REFUSED)
# What the first call takes along, once: the tick's record and the controllers.
NO_RECORD: Final = ("", "")


class Sent:
    """A call that was sent, or is about to be."""

    __slots__ = ("at", "call", "messages", "record")

    def __init__(self, at: int) -> None:
        self.at = at
        self.call = CommitCall()
        self.record = NO_RECORD
        # By the number of the fire; those of which somebody wants to hear when they are accepted.
        self.messages: dict[int, Message] = {}


class Round:
    """What became of one commit so far; `accepted` is told of fires that went out."""

    def __init__(self, commit: Commit, accepted: Accepted) -> None:
        self.commit = commit
        self.accepted = accepted
        self.settled: list[Settled | None] = [None] * len(commit.fires)
        self.kept: list[str] = []
        self.sent: deque[Sent] = deque()
        # Jobs with a fire that has failed alone: their states do not hold, whatever call they went along with.
        self.spoiled: set[str] = set()
        self.record = (commit.tick_record, commit.controllers)
        # Calls that the server refused because of one of their keys.
        self.forbidden: list[Sent] = []
        # Who holds the lease that is not ours any more.
        self.holder: str | None = None
        self.error: BaseException | None = None

    def fail(self, sent: Sent, error: BaseException) -> None:
        """The server has refused one call, and has done nothing of it."""
        self.error = error
        self.take_back(sent)
        failed = Settled(Fate.FAILED, error)
        for number in sent.call.in_order():
            self.settled[number] = failed

    def take_back(self, sent: Sent) -> None:
        """What a call took along that was refused, another one is to have."""
        if sent.record != NO_RECORD:
            self.record, sent.record = sent.record, NO_RECORD

    def exchange_error(self, error: BaseException | None) -> BaseException | None:
        """Take this for what stood in the way; what did until now."""
        before, self.error = self.error, error
        return before

    def committed(self) -> Committed:
        """What is not known to have happened has to be taken for not done."""
        rest = _REFUSED if self.holder is not None else Settled(Fate.FAILED, self.error)
        return Committed(
            [rest if settled is None else settled for settled in self.settled],
            [name for name in self.kept if name not in self.spoiled] if self.spoiled else self.kept,
            is_recorded=self.error is None and self.holder is None,
            error=self.error,
        )
