"""What became of one commit so far, where its fires are published one by one: which states may be kept by now.

The state of a job holds once the last of its fires is settled, and not at all when one of them has failed.
"""

from typing import TYPE_CHECKING

from packages.infra.beat.publisher import Commit, Committed, Fate, Settled

if TYPE_CHECKING:
    from packages.infra.beat.publishers.claims import Claim


class Round:
    """What became of `commit` so far.

    `ready`: jobs whose states may be kept, and are not yet. `released`: claims of fires that failed, still to be given
    back. `away`: why the broker takes nothing more. `error`: what stood in the way of keeping.
    """

    def __init__(self, commit: Commit) -> None:
        self.commit = commit
        self._settled: list[Settled | None] = [None] * len(commit.fires)
        # How many fires of each job are not settled.
        self._left: dict[str, int] = {}
        for fire, _ in commit.fires:
            self._left[fire.job.name] = self._left.get(fire.job.name, 0) + 1
        # Jobs one of whose fires has failed: their states do not hold.
        self._spoiled: set[str] = set()
        self.ready = [name for name in commit.states if name not in self._left]
        self.kept: list[str] = []
        self.released: list[Claim] = []
        self.is_recorded = False
        self.is_refused = False
        # So many messages the broker did not take one after the other, on a new connection each.
        self.in_a_row = 0
        self.row_since_s = 0.0
        self.away: BaseException | None = None
        self.error: BaseException | None = None

    def settle(self, number: int, settled: Settled) -> None:
        """Note what became of a fire."""
        name = self.commit.fires[number].fire.job.name
        self._settled[number] = settled
        self._left[name] -= 1
        if settled.fate is Fate.FAILED:
            self._spoiled.add(name)
        if not self._left[name] and name not in self._spoiled and name in self.commit.states:
            self.ready.append(name)

    def kept_now(self) -> None:
        """All that was ready was kept."""
        self.kept += self.ready
        self.ready = []
        self.released = []
        self.is_recorded = True

    def committed(self) -> Committed:
        """What is not known to have happened has to be taken for not done."""
        error = self.error or self.away
        rest = Settled(Fate.REFUSED) if self.is_refused else Settled(Fate.FAILED, error)
        return Committed(
            [rest if settled is None else settled for settled in self._settled],
            self.kept,
            is_recorded=self.is_recorded,
            error=error,
        )
