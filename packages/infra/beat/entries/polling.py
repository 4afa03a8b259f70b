"""Asks each polled job at the instant that it named; what is due is a fire of that instant.

Only the leader asks. One that ends before it has published leaves nothing behind, and the next leader asks again.
"""

import math
from dataclasses import replace

from celery.utils.functional import is_numeric_value

from packages.infra.beat.entries.polled import LEAST_PAUSE_MS, PolledTrigger
from packages.infra.beat.entries.roster import Roster
from packages.infra.beat.host import Host
from packages.scheduling.engine import QUARANTINE_MS, Engine
from packages.scheduling.instants import SECOND_MS


class Polling:
    """Of the polled jobs in one roster."""

    def __init__(self, host: Host, *, engine: Engine, roster: Roster) -> None:
        self._host = host
        self._engine = engine
        self._roster = roster

    def run(self, now: int) -> None:
        """Ask those whose time has come, and claim what is due."""
        for name in self._roster.polls.take_due(now):
            key = self._roster.keys[name]
            try:
                due, ask_again_s = self._host.is_due(self._host.schedule[key])
                pause_ms = math.ceil(ask_again_s * SECOND_MS) if is_numeric_value(ask_again_s) else QUARANTINE_MS
                if due:
                    self._take(name, now)
            except Exception as error:  # noqa: BLE001  # one bad entry must not stop the others
                self._roster.quarantine.put_aside(name, error, now + QUARANTINE_MS)
                self._roster.polls.ask(name, now + QUARANTINE_MS)
                continue
            self._roster.quarantine.recovered([name])
            self._roster.polls.ask(name, now + max(LEAST_PAUSE_MS, pause_ms))

    def _take(self, name: str, now: int) -> None:
        """Let the engine find the fire that was seen to be due; whether it is published it decides as of any other."""
        job, state = self._engine.job(name), self._engine.state(name)
        job = replace(job, trigger=PolledTrigger(_text_of(job.trigger), now))
        # One before: the nominal that was just seen is to be found. It is another one than that of the same instant
        # before the clock was set back.
        clock = state.clock + (now <= state.watermark)
        self._engine.add(job, state._replace(watermark=now - 1, clock=clock), now)
        self._host.advance(self._roster.keys[name])


def _text_of(trigger: object) -> str:
    return trigger.text if isinstance(trigger, PolledTrigger) else ""
