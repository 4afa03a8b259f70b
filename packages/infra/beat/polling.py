"""Asks each polled job at the instant that it named, and claims what is due before it is fired.

The claim is a compare-and-set on the job's stored state, as an open fire: two beats do not both fire it, and one that
ends now does not lose it. Whether it is then published the engine decides, as of any other fire.
"""

import logging
import math
from dataclasses import replace
from typing import Final

from celery.utils.functional import is_numeric_value

from packages.infra.beat.host import Host
from packages.infra.beat.polled import LEAST_PAUSE_MS, PolledTrigger, claimed
from packages.infra.beat.roster import Roster
from packages.infra.beat.state_store import StateStore, StoreAwayError
from packages.scheduling.engine import QUARANTINE_MS, Engine
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.state import JobState

log = logging.getLogger(__name__)

_TRIED_AGAIN_MS: Final = SECOND_MS


class Polling:
    """Of the polled jobs in one roster."""

    def __init__(self, host: Host, *, engine: Engine, roster: Roster, store: StateStore) -> None:
        self._host = host
        self._engine = engine
        self._roster = roster
        self._store = store
        self._is_away = False

    def run(self, now: int) -> None:
        """Ask those whose time has come, and claim what is due."""
        for name in self._roster.polls.take_due(now):
            key = self._roster.keys[name]
            try:
                due, ask_again_s = self._host.is_due(self._host.schedule[key])
                pause_ms = math.ceil(ask_again_s * SECOND_MS) if is_numeric_value(ask_again_s) else QUARANTINE_MS
                if due and not self._claim(name, now):
                    pause_ms = _TRIED_AGAIN_MS
            except Exception as error:  # noqa: BLE001  # one bad entry must not stop the others
                self._roster.quarantine.put_aside(name, error, now + QUARANTINE_MS)
                self._roster.polls.ask(name, now + QUARANTINE_MS)
                continue
            self._roster.quarantine.recovered([name])
            self._roster.polls.ask(name, now + max(LEAST_PAUSE_MS, pause_ms))

    def _claim(self, name: str, now: int) -> bool:
        """Take over the fire of a polled job that is due; False if another beat did, or the store is away."""
        job, known = self._engine.job(name), self._engine.state(name)
        try:
            state = self._claimed_from(name, known, now)
        except StoreAwayError as error:
            if not self._is_away:
                log.warning("not_claimed", extra={"job": name, "error": str(error)})
            self._is_away = True
            return False
        self._is_away = False
        if state is None:
            log.info("claimed_by_another_beat", extra={"job": name})
        else:
            job = replace(job, trigger=PolledTrigger(_text_of(job.trigger), now))
            # One before: the engine is to find the nominal that was just claimed.
            self._engine.add(job, replace(state, watermark=now - 1), now)
        self._host.advance(self._roster.keys[name])
        return state is not None

    def _claimed_from(self, name: str, known: JobState, now: int) -> JobState | None:
        """The state from which the fire was claimed; None if another beat has claimed one of which we did not know."""
        store, unsaved = self._store, self._roster.unsaved
        if name in unsaved:
            store.save({name: unsaved[name]})
            del unsaved[name]
        if store.compare_and_set(name, known, claimed(known, now)):
            return known
        # The store may have lost what it had, or another beat may have ended after a claim that is long settled.
        stored = store.load([name]).get(name)
        if stored is not None and stored.watermark > known.watermark:
            # What that beat has claimed is its own to publish.
            mine = replace(stored, open=tuple(fire for fire in stored.open if fire.nominal <= known.watermark))
            self._engine.add(self._engine.job(name), mine, now)
            return None
        state = known if stored is None else stored
        return state if store.compare_and_set(name, stored, claimed(state, now)) else None


def _text_of(trigger: object) -> str:
    return trigger.text if isinstance(trigger, PolledTrigger) else ""
