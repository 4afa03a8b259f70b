"""What beat wants kept: states, decisions, and that requests were taken over; tried again while the store is away.

    states saved ──> requests acknowledged
    decisions recorded, the oldest dropped when the store is away for long

Decides nothing. What was published is always ahead of what is saved.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

from packages.infra.beat.decision_sink import DecisionLog, Outcome
from packages.infra.beat.readings import Request
from packages.infra.beat.roster import Roster
from packages.infra.beat.state_store import StoreAwayError
from packages.infra.beat.wiring import Opened
from packages.infra.queue.outages import Errand

log = logging.getLogger(__name__)

# So many decisions wait for a store that is away; the log has all of them.
_MOST_UNRECORDED: Final = 10_000


class Keeping:
    """Of one loop. `monotonic` is a clock in seconds."""

    def __init__(self, opened: Opened, roster: Roster, monotonic: Callable[[], float]) -> None:
        self._opened = opened
        self._roster = roster
        self._lines = DecisionLog()
        self._saving = Errand("states", (StoreAwayError,), monotonic)
        self._recording = Errand("decisions", (StoreAwayError,), monotonic)
        self._taken_over: dict[str, Request] = {}
        self._decided: list[Outcome] = []
        self._unrecorded: deque[Outcome] = deque(maxlen=_MOST_UNRECORDED)

    def taken_over(self, requests: Sequence[Request]) -> None:
        """These are part of the states that are to be saved."""
        self._taken_over |= {request.id: request for request in requests}

    def decided(self, outcome: Outcome) -> None:
        """To be said in the log and recorded."""
        self._decided.append(outcome)

    def record(self) -> None:
        """Say what was decided, and record it."""
        decided, self._decided = self._decided, []
        if decided:
            self._lines.say(decided)
            self._unrecorded.extend(decided)
        if self._unrecorded:
            self._record()

    def save(self, held_back: Collection[str] = ()) -> None:
        """Save the states that the store does not have, but for those of the jobs that are `held_back`."""
        roster, store = self._roster, self._opened.store
        states = {name: state for name, state in roster.unsaved.items() if name not in held_back}
        forgotten = frozenset(roster.forgotten)

        def write() -> None:
            if states:
                store.save(states)
            if forgotten:
                store.forget(forgotten)

        if not self._saving.run(write):
            return
        for name in states:
            del roster.unsaved[name]
        roster.forgotten -= forgotten
        if self._taken_over and not held_back:
            self._opened.readings.acknowledge(tuple(self._taken_over.values()))
            self._taken_over = {}

    def finish(self, held_back: Collection[str]) -> None:
        """Record and save what is left, also if the store was away a moment ago: there is no later."""
        self._saving.forget_failure()
        self._recording.forget_failure()
        self.record()
        self.save(held_back)

    def _record(self) -> None:
        decisions = [outcome.decision for outcome in self._unrecorded]
        if self._recording.run(lambda: self._opened.decisions.record(decisions)):
            self._unrecorded.clear()
