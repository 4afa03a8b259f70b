"""The adaptive control of one loop: which thresholds it goes by, and what the store has of its state.

    others led ──> the stored state, unless it is too old ──> engine ──(an interval is over)──> the next commit

Without a policy nothing is asked for, and nothing is kept. Decides nothing.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from packages.infra.beat.control_facts import control_facts
from packages.infra.beat.state_store import StateStore
from packages.infra.beat.stored_controllers import controllers_text
from packages.infra.telemetry.beat_metrics import NO_CONTROL, ControlFacts
from packages.scheduling.control.controllers import NEUTRAL, Controllers
from packages.scheduling.control.step import modes_of
from packages.scheduling.engine import Engine
from packages.scheduling.policies import GateMode
from packages.scheduling.snapshot import Snapshot

if TYPE_CHECKING:
    from celery import Celery

    from packages.scheduling.control.policy import ControlPolicy

# A setting of the app: has the thresholds as `policy`, a `ControlPolicy` that may be another one after a reload.
CONTROL_SETTING: Final = "beat_control"
_HOLDS_FOR: Final = 10


class KeepingControl:
    """See the module."""

    def __init__(self, app: "Celery", engine: Engine, store: StateStore) -> None:
        self._setting: Any = app.conf.get(CONTROL_SETTING)
        self._engine = engine
        self._store = store
        self._policy: ControlPolicy | None = None
        # What the store has, for all we know.
        self._kept = NEUTRAL
        self._seen: Snapshot | None = None

    @property
    def is_on(self) -> bool:
        """Whether publishing answers to anything."""
        return self._policy is not None

    @property
    def owes(self) -> bool:
        """Whether there is something to keep that cannot wait for the next fire: it throttles, or does no more."""
        controllers = self._engine.controllers
        return controllers is not self._kept and (controllers.throttles or self._kept.throttles)

    def facts(self, now: int) -> ControlFacts:
        """What it does, as of the last tick of this term."""
        return NO_CONTROL if self._seen is None else control_facts(self._engine, self._seen, now)

    @property
    def modes(self) -> Mapping[str, GateMode]:
        """What the objections of its gates do, an operator's word included; empty where it is off."""
        if self._policy is None:
            return {}
        return modes_of(self._policy, {} if self._seen is None else self._seen.gate_modes)

    def seen(self, snapshot: Snapshot | None) -> None:
        """The gates were asked under this one."""
        self._seen = snapshot if snapshot is not None and (self.is_on or snapshot.pins) else None

    def follow(self) -> None:
        """Go by the thresholds that are set now."""
        if self._setting is None:
            return
        policy: ControlPolicy | None = self._setting.policy
        if policy is not self._policy:
            self._policy = policy
            self._engine.use_control(policy)

    def go_on_from_store(self, now: int) -> None:
        """A term begins, and others have led: go on where they were, or afresh if that says nothing any more.

        Raises:
            StoreAwayError: the store cannot be read; this may be called again.
        """
        if self._policy is None:
            return
        stored = self._store.load_controllers()
        # Where the store has lost it, what is known here is the best there is.
        best = self._engine.controllers if stored is None else stored
        self._kept = NEUTRAL if stored is None else stored
        self._engine.put_controllers(best if still_says_something(best, self._policy, now) else NEUTRAL)

    def keep_anew(self) -> None:
        """The store may have lost what was kept."""
        self._kept = NEUTRAL

    def changed(self) -> Controllers | None:
        """The state that is to be kept by the next commit; None if it is kept."""
        controllers = self._engine.controllers
        return None if controllers is self._kept else controllers

    def kept(self, controllers: Controllers) -> None:
        """A commit has kept this one."""
        self._kept = controllers


def text_to_keep(controllers: Controllers | None) -> str:
    """What a commit takes along: "" for nothing."""
    return "" if controllers is None else controllers_text(controllers)


def still_says_something(controllers: Controllers, policy: "ControlPolicy", now: int) -> bool:
    """Whether to go on from a stored state.

    It holds for ten times as long as a wait has to stand to count. Nobody has published since it was written: a queue
    that was left alone for so long is not the one that was throttled. Levels and failing tasks are found again at once.
    A state from the future counts as one from the past: two clocks differ.
    """
    if controllers.stepped_at is None:
        return False
    return abs(now - controllers.stepped_at) <= _HOLDS_FOR * policy.backlog.standing_ms
