"""One supervised process: Honcho's process in a thread that relays its output. Decides nothing about restarts."""

import os
import shlex
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honcho.process import Process

from packages.infra.embedded.process import ProcessRef

if TYPE_CHECKING:
    from queue import SimpleQueue


@dataclass(frozen=True)
class ProcessSpec:
    """What to run. A process that is not `restarted` runs once; `on_end` is called after each of its ends.

    `on_end` returns a sentence to print, or None.
    """

    name: str
    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    restarted: bool = True
    on_end: Callable[[], str | None] = lambda: None


@dataclass
class SupervisedProcess:
    """The present run of a spec, and its history."""

    spec: ProcessSpec
    colour: str
    launching: bool = False
    ref: ProcessRef | None = None
    group: int | None = None
    ends: list[float] = field(default_factory=list)
    restart_at: float | None = None
    finished: bool = False

    def start(self, events: "SimpleQueue[Any]") -> None:
        """Run it in a session of its own; its lines and its end arrive in `events`."""
        process = Process(
            f"exec {shlex.join(self.spec.command)}",
            name=self.spec.name,
            colour=self.colour,
            env=dict(self.spec.environment),
            cwd=str(self.spec.directory),
        )
        self.restart_at, self.launching = None, True
        threading.Thread(target=process.run, args=(events,), name=f"relay-{self.spec.name}", daemon=True).start()

    def started(self, pid: int) -> None:
        """Note the process that `start` brought up; its group has its pid."""
        self.launching, self.ref, self.group = False, ProcessRef.of(pid), pid

    def ended(self) -> None:
        """Note that nothing of it is left."""
        self.launching, self.ref, self.group = False, None, None

    @property
    def is_there(self) -> bool:
        """True from `start` until the end has been noted."""
        return self.launching or self.group is not None

    @property
    def died_unnoted(self) -> bool:
        """True when the process has died and its end is not noted yet: its children may hold its output open."""
        return self.group is not None and (self.ref is None or not self.ref.is_alive())

    def send(self, signal_number: signal.Signals) -> None:
        """Signal the process alone: a Celery worker ends its pool itself."""
        if self.ref is not None:
            self.ref.send(signal_number)

    def kill_group(self) -> None:
        """Kill the process and whatever it left behind."""
        if self.group is not None:
            try:
                os.killpg(self.group, signal.SIGKILL)
            except ProcessLookupError:
                return
