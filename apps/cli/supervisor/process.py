"""One supervised process: Honcho's process in a thread that relays its output. Decides nothing about restarts."""

import os
import shlex
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honcho.printer import Message
from honcho.process import Process

from apps.cli.supervisor.policy import stop_signals
from packages.infra.embedded.process import ProcessRef

if TYPE_CHECKING:
    from queue import SimpleQueue

EXIT_NOT_RUN = 127


class NotYetError(Exception):
    """A process cannot be started yet; the text says why. It is tried again."""


@dataclass(frozen=True)
class ProcessSpec:
    """What to run. A process that is not `restarted` runs once.

    `before_start` is called before each start, in a thread, and returns a sentence to print, or None. While it raises
    `NotYetError` the process is not started.
    """

    name: str
    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    restarted: bool = True
    before_start: Callable[[], str | None] | None = None


@dataclass
class SupervisedProcess:
    """The present run of a spec, and its history."""

    spec: ProcessSpec
    colour: str
    launching: bool = False
    ref: ProcessRef | None = None
    group: int | None = None
    ends: list[float] = field(default_factory=list)
    restarts: int = 0
    start_at: float | None = 0.0
    waits_for: str | None = None
    finished: bool = False
    stop_began: float | None = None
    stop_step: int = 0

    def prepare(self, events: "SimpleQueue[Any]") -> None:
        """Call `before_start`; what it says arrives in `events` as `prepared`."""
        self.start_at = None
        prepare = self.spec.before_start

        def run() -> None:
            ready, sentence = True, None
            try:
                sentence = prepare() if prepare else None
            except NotYetError as error:
                ready, sentence = False, str(error)
            except Exception as error:  # noqa: BLE001  # the loop boundary: it must not keep the process from starting
                sentence = f"before its start: {type(error).__name__}: {error}"
            events.put(self._message("prepared", {"ready": ready, "sentence": sentence}))

        threading.Thread(target=run, name=f"prepare-{self.spec.name}", daemon=True).start()

    def start(self, events: "SimpleQueue[Any]", *, mark: Mapping[str, str]) -> None:
        """Run it in a session of its own, with `mark` in its environment; its lines and its end arrive in `events`."""
        process = Process(
            f"exec {shlex.join(self.spec.command)}",
            name=self.spec.name,
            colour=self.colour,
            env={**self.spec.environment, **mark},
            cwd=str(self.spec.directory),
        )
        self.launching = True

        def run() -> None:
            try:
                process.run(events)
            except OSError as error:  # no such directory, no more processes: nothing was started
                events.put(self._message("line", f"it could not be run: {error}"))
                events.put(self._message("stop", {"returncode": EXIT_NOT_RUN}))

        threading.Thread(target=run, name=f"relay-{self.spec.name}", daemon=True).start()

    def started(self, pid: int) -> None:
        """Note the process that `start` brought up; its group has its pid."""
        self.launching, self.ref, self.group = False, ProcessRef.of(pid), pid

    def ended(self) -> None:
        """Note that it has ended, and end what may be left of it."""
        self.kill_group()
        self.launching, self.ref, self.group = False, None, None
        self.stop_began, self.stop_step = None, 0

    @property
    def is_there(self) -> bool:
        """True from `start` until the end has been noted."""
        return self.launching or self.group is not None

    @property
    def died_unnoted(self) -> bool:
        """True when the process has died and its end is not noted yet: its children may hold its output open."""
        return self.group is not None and (self.ref is None or not self.ref.is_alive())

    def stop(self, now: float, *, hurried: bool = False) -> bool:
        """Begin to stop it or go on with it, called again and again; True when this call killed it."""
        if self.group is None:
            return False
        began = self.stop_began = now if self.stop_began is None else self.stop_began
        due = stop_signals(taken=self.stop_step, began=began, now=now, hurried=hurried)
        self.stop_step += len(due)
        for number in due:
            if number is signal.SIGKILL:
                self.kill_group()
                return True
            # The process alone: a Celery worker ends its pool itself.
            if self.ref is not None:
                self.ref.send(number)
        return False

    def kill_group(self) -> None:
        """Kill the process and whatever it left behind."""
        if self.group is not None:
            try:
                os.killpg(self.group, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
                return

    def _message(self, kind: str, data: object) -> Any:  # noqa: ANN401  # Honcho has no types
        return Message(type=kind, data=data, time=datetime.now().astimezone(), name=self.spec.name, colour=self.colour)
