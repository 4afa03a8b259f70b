"""How long is waited for a server that starts.

A server that recovers says so, and may take as long as its data needs; ending it would only begin the recovery again.
One that says nothing is given up soon.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from packages.infra.embedded.errors import InterruptedStartError
from packages.infra.embedded.process import ProcessRef

_POLL_S = 0.05


@dataclass(frozen=True)
class Problem:
    """Why a server does not answer well. `recovering`: it says that it reads its data and will answer."""

    text: str
    recovering: bool = False


@dataclass(frozen=True)
class Patience:
    """How long a server may say nothing, and how long it may recover."""

    silent: timedelta = timedelta(seconds=60)
    recovering: timedelta = timedelta(minutes=30)


@dataclass(frozen=True)
class Waiting:
    """The patience of one caller, and its way to give up early."""

    patience: Patience
    interrupted: threading.Event

    def check(self) -> None:
        """Return while nobody has interrupted.

        Raises:
            InterruptedStartError: somebody has.
        """
        if self.interrupted.is_set():
            raise InterruptedStartError

    def wait_for(self, process: ProcessRef, question: Callable[[], Problem | None]) -> str | None:
        """Ask until there is no problem: None; or what is wrong with a server that ended or took too long.

        Raises:
            InterruptedStartError: it was interrupted.
        """
        began = silent_since = time.monotonic()
        while (problem := question()) is not None:
            self.check()
            now = time.monotonic()
            if problem.recovering:
                silent_since = now
            if not process.is_alive():
                return "ended while it started"
            if now - silent_since >= self.patience.silent.total_seconds():
                return f"does not answer after {now - began:.0f} s ({problem.text})"
            if now - began >= self.patience.recovering.total_seconds():
                return f"has not recovered after {now - began:.0f} s ({problem.text})"
            time.sleep(_POLL_S)
        return None
