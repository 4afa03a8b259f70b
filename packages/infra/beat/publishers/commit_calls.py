"""What a commit comes to, cut into calls of the script: each fire as a message, and what is kept along with it.

Never sends anything.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from packages.infra.beat.messages.fire_ids import task_id_and_claim_of
from packages.infra.beat.messages.message import MakerAwayError, Message, MessageMaker, Pieces
from packages.infra.beat.publisher import Commit, Fate, Settled
from packages.infra.beat.publishers.commit_script import MOST_FIRES, ClaimSet, CommitKeys
from packages.infra.beat.publishers.redis_round import Round, Sent
from packages.infra.beat.stored_values import state_text
from packages.infra.ledger.records import decision_text
from packages.infra.queue.running import JobRun, run_text
from packages.scheduling.claims import Shelf, Shelves
from packages.scheduling.instants import DAY_MS
from packages.scheduling.plan import Fire
from packages.scheduling.policies import OverlapMode
from packages.scheduling.snapshot import Run

if TYPE_CHECKING:
    from packages.scheduling.state import JobState

_MOST_SETS: Final = 10_000
_ALLOW: Final = OverlapMode.ALLOW
_CLAIMED: Final = Settled(Fate.CLAIMED)
_NO_RUN: Final = ("", "")


class CommitCalls:
    """Of one publisher. `now` is the wall clock in milliseconds."""

    def __init__(self, maker: MessageMaker, keys: CommitKeys, now: Callable[[], int]) -> None:
        self._maker = maker
        self._keys = keys
        self._now = now
        self._shelves = Shelves()
        self._sets: dict[str, ClaimSet] = {}

    def calls(self, commit: Commit, round_: Round) -> Iterator[Sent]:
        """The calls that a commit is made of; a job's state goes along with its fire, if that is the only one."""
        states, fires = commit.states, commit.fires
        with_fires = {out.fire.job.name for out in fires}
        if len(with_fires) < len(fires):
            # One of several may fail alone: then the state does not hold, whatever became of the others.
            counts = Counter(out.fire.job.name for out in fires)
            round_.spoiled.update(name for name, count in counts.items() if count > 1)
        idle = iter([name for name in states if name not in with_fires])
        decisions = iter(commit.decisions)
        forgotten = iter(commit.forgotten)
        first = True
        numbers = iter(range(len(fires)))
        while True:
            sent = Sent(self._now())
            self.fill(sent, commit, round_, numbers)
            if not len(sent.call):
                break
            first = False
            yield sent
        while True:
            sent = Sent(self._now())
            call = sent.call
            for name in islice(idle, MOST_FIRES):
                call.states += (name, state_text(states[name]))
            for decision in islice(decisions, MOST_FIRES):
                call.decisions += (decision.job, decision_text(decision))
            call.forgotten += islice(forgotten, MOST_FIRES)
            if not (call.states or call.decisions or call.forgotten or first):
                return
            first = False
            yield sent

    def fill(  # noqa: C901  # one loop for every fire: a call for each of its parts costs more than the part
        self, sent: Sent, commit: Commit, round_: Round, numbers: Iterator[int]
    ) -> None:
        """Put fires into a call until it is full; one that cannot be made a message has failed."""
        call, fires, states = sent.call, commit.fires, commit.states
        claims = call.claims
        make, shelf_of, claim_set_of = self._maker.make, self._shelves.of, self._sets.get
        term, at, spoiled = commit.term, sent.at, round_.spoiled
        # The texts of the fire before: most of those that are due at once are decided alike, and leave like states.
        alike: tuple[object, ...] | None = None
        left: JobState | None = None
        record = left_text = ""
        for number in numbers:
            fire, entry = fires[number]
            decision, job = fire.decision, fire.job
            name, nominal, origin = decision.job, decision.nominal, decision.origin
            task_id, claim = task_id_and_claim_of(name, nominal, origin)
            if claim in claims:
                round_.settled[number] = _CLAIMED
                continue
            try:
                message = make(fire, entry, term=term, published_at=at, task_id=task_id)
                shelf = shelf_of(job, nominal, origin)
            except MakerAwayError:
                raise
            except Exception as error:  # noqa: BLE001  # one bad entry must not stop the others
                round_.settled[number] = Settled(Fate.FAILED, error)
                spoiled.add(name)
                continue
            claim_set = claim_set_of(shelf.name) or self._set_of(shelf)
            if decision[1:] != alike:
                alike, record = decision[1:], decision_text(decision)
            state, after = "", states.get(name)
            if after is not None and name not in spoiled:
                if after is not left and after != left:
                    left, left_text = after, state_text(after)
                state = left_text
            may_overlap = job.policies.overlap is _ALLOW
            if may_overlap and type(message) is Pieces:
                call.fire(number, claim_set, claim, task_id, name, message, record, state)
            else:
                whole = _whole(message, task_id)
                run = _NO_RUN if may_overlap else (whole.task_id, _run_text(fire, whole.task_id, at))
                call.single(number, claim_set, claim, name, whole.pushes, record, state, run)
                if whole.accepted is not None:
                    sent.messages[number] = whole
            if call.is_full:
                return

    def _set_of(self, shelf: Shelf) -> ClaimSet:
        if len(self._sets) > _MOST_SETS:
            self._sets.clear()
        claim_set = self._sets[shelf.name] = ClaimSet(self._keys.claims(shelf.name), shelf.kept_ms)
        return claim_set


def _whole(message: Message | Pieces, task_id: str) -> Message:
    return message.whole(task_id) if isinstance(message, Pieces) else message


def _run_text(fire: Fire, task_id: str, published_at: int) -> str:
    # A message without an end may wait for a worker for long; a day later it no longer holds its job up.
    lasts_ms = DAY_MS if fire.job.expires_ms is None else fire.job.expires_ms
    return run_text(JobRun(fire.job.name, Run(task_id, published_at, counts_until=published_at + lasts_ms)))
