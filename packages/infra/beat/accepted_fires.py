"""The fires of one commit that the broker has taken: noted on their entries, in the log and in the figures.

As soon as the answer to a part of the commit is there, while the broker works on the next one. What may take long, or
is somebody's own code, waits until the commit is over. Decides nothing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from packages.infra.beat.decision_log import Outcome, are_said, say
from packages.infra.beat.entries.entry import BeatEntry
from packages.infra.beat.entries.roster import Roster
from packages.infra.beat.host import Host
from packages.infra.beat.publisher import Fate, FireOut, Settled

if TYPE_CHECKING:
    from packages.infra.telemetry.beat_metrics import FireLabels

_ACCEPTED: Final = Fate.ACCEPTED


class AcceptedFires:
    """Of one commit of these fires. `fired` counts them, `late_ms` has how late each was published."""

    def __init__(self, host: Host, roster: Roster, fires: Sequence[FireOut]) -> None:
        self._host = host
        self._roster = roster
        self._fires = fires
        self._in_place = host.counts_in_place
        self._ran_at = host.utc_now().astimezone(host.app.timezone)
        self._tells = are_said()
        self._noted = bytearray(len(fires))
        self._outcomes: list[Outcome] = []
        # Of whose runs others are to be told.
        self._others: list[FireOut] = []
        self.fired: Counter[FireLabels] = Counter()
        self.late_ms: list[int] = []

    def __len__(self) -> int:
        return len(self.late_ms)

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self._noted[number] > 0

    def note(self, numbers: Iterable[int], at: int) -> None:
        """The fires of these numbers were published at the instant `at`; each number is given once."""
        fires, noted, late_ms = self._fires, self._noted, self.late_ms
        in_place, polls, ran_at, tells = self._in_place, self._roster.polls, self._ran_at, self._tells
        # Most fires have the labels of the one before, and are counted with it: a look into a counter costs more.
        labels: FireLabels | None = None
        alike = 0
        for number in numbers:
            noted[number] = 1
            out = fires[number]
            fire, entry = out
            job, decision = fire.job, fire.decision
            late_ms.append(at - decision.planned)
            own = (decision.verdict, decision.reason, job.queue, job.criticality)
            if own != labels:
                if labels is not None:
                    self.fired[labels] += alike
                labels, alike = own, 0
            alike += 1
            if tells:
                self._outcomes.append(Outcome(decision, at))
            if (
                not in_place
                or type(entry) is not BeatEntry
                or decision.cancels
                # As is whoever has a clock of its own.
                or (polls and decision.job in polls)
            ):
                self._others.append(out)
                continue
            # As Celery's next instance of it, without making one.
            entry.last_run_at = ran_at
            entry.total_run_count += 1
        if labels is not None:
            self.fired[labels] += alike

    def finish(self, settled: Sequence[Settled]) -> None:
        """The commit is over: note those of which nobody has told, and all that had to wait."""
        if len(self) < len(settled):
            for number, (fate, _, at) in enumerate(settled):
                if fate is _ACCEPTED and at is not None and not self._noted[number]:
                    self.note((number,), at)
        for out in self._others:
            self.ran(out)
        say(self._outcomes)

    def ran(self, out: FireOut) -> None:
        """Tell whoever is to be told that a fire was published, by us or before."""
        decision = out.fire.decision
        if decision.cancels:
            self._host.revoke(decision.cancels)
        if decision.job not in self._roster.polls:
            self._host.advance(self._roster.keys[decision.job])
