"""Runs the processes of `minsy up` in one terminal: relays their lines, starts again what dies, stops all on a signal.

States of a process: running -> ended -> (after a delay) running, or given up. One that is given up stops the whole,
so that nobody takes half a service for a whole one. A stop asks first (SIGTERM: running tasks may finish), then insists
(SIGQUIT: a worker puts its messages back), then kills. A second Ctrl-C kills at once.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from honcho.colour import get_colours
from honcho.printer import Message, Printer

from apps.cli.supervisor.policy import describe_end, restart_delay_s
from apps.cli.supervisor.process import ProcessSpec, SupervisedProcess
from apps.cli.supervisor.record import ProcessRecord, UpRecord, write_record
from packages.infra.embedded.process import ProcessRef

SYSTEM = "minsy"
POLL_S = 0.1
WATCH_EVERY_S = 1.0
# The whole stop, with the servers after it, stays below ten seconds.
STOP_STEPS = ((0.0, signal.SIGTERM), (4.5, signal.SIGQUIT), (7.0, signal.SIGKILL))


class Supervisor:
    """Supervises `specs` until a signal. `watch` is called about once a second and returns sentences to print."""

    def __init__(self, specs: Sequence[ProcessSpec], *, var_dir: Path, watch: Callable[[], Sequence[str]]) -> None:
        colours = get_colours()
        self._processes = {spec.name: SupervisedProcess(spec, colour=next(colours)) for spec in specs}
        self._printer = Printer(sys.stdout, width=max(len(name) for name in (*self._processes, SYSTEM)))
        self._events: SimpleQueue[Any] = SimpleQueue()
        self._var_dir = var_dir
        self._watch = watch
        self._signals = 0
        self._stop_began: float | None = None
        self._stop_step = 0
        self._failed = False

    def say(self, sentence: str) -> None:
        """Print a line of the supervisor's own."""
        self._printer.write(
            Message(type="line", data=sentence, time=datetime.now().astimezone(), name=SYSTEM, colour=None)
        )

    def run(self) -> int:
        """Start everything and return when everything has stopped: 0 after a clean stop, 1 after a failure."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        for process in self._processes.values():
            process.start(self._events)
        next_watch = time.monotonic()
        while not self._all_stopped():
            self._relay_for(POLL_S)
            self._end_leftover_children()
            now = time.monotonic()
            if self._stop_began is not None or self._signals:
                self._stop_further(now)
                continue
            self._start_what_is_due(now)
            if now >= next_watch:
                for sentence in self._watch():
                    self.say(sentence)
                next_watch = time.monotonic() + WATCH_EVERY_S
        return 1 if self._failed else 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._signals += 1

    def _all_stopped(self) -> bool:
        if self._stop_began is None:
            return all(process.finished for process in self._processes.values())
        return not any(process.is_there for process in self._processes.values())

    def _relay_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                message = self._events.get(timeout=left)
            except Empty:
                return
            process = self._processes[message.name]
            if message.type == "line":
                self._printer.write(message)
            elif message.type == "start":
                process.started(message.data["pid"])
                self.say(f"{message.name} runs as process {message.data['pid']}")
                self._write_record()
            else:
                self._ended(process, message.data["returncode"])

    def _ended(self, process: SupervisedProcess, exit_code: int) -> None:
        process.ended()
        if self._stop_began is not None or self._signals:
            self.say(f"{describe_end(process.spec.name, exit_code)}")
            return
        if not process.spec.restarted:
            process.finished = True
            if exit_code:
                self.say(f"{describe_end(process.spec.name, exit_code)}; it is not run again")
            return
        now = time.monotonic()
        process.ends.append(now)
        delay_s = restart_delay_s(process.ends, exit_code=exit_code, now=now)
        said = describe_end(process.spec.name, exit_code)
        if delay_s is None:
            self.say(f"{said}; it is not started again, and everything stops")
            self._failed = True
            self._begin_stop(now)
            return
        process.restart_at = now + delay_s
        self.say(f"{said}; the others go on, and it starts again in {delay_s:g} s")
        if sentence := process.spec.on_end():
            self.say(sentence)
        self._write_record()

    def _end_leftover_children(self) -> None:
        for process in self._processes.values():
            if process.died_unnoted:
                process.kill_group()

    def _start_what_is_due(self, now: float) -> None:
        for process in self._processes.values():
            if process.restart_at is not None and now >= process.restart_at:
                process.start(self._events)

    def _begin_stop(self, now: float) -> None:
        self._stop_began, self._stop_step = now, 0

    def _stop_further(self, now: float) -> None:
        if self._stop_began is None:
            self.say("stopping; running tasks may finish (Ctrl-C again kills)")
            self._begin_stop(now)
        began = self._stop_began or now
        while self._stop_step < len(STOP_STEPS):
            after_s, number = STOP_STEPS[self._stop_step]
            hurried = self._signals > 1
            if now - began < after_s and not hurried:
                return
            self._stop_step += 1
            for process in self._processes.values():
                if process.group is None:
                    continue
                if number is signal.SIGKILL:
                    self.say(f"{process.spec.name} does not stop; it is killed")
                    self._failed = True
                    process.kill_group()
                else:
                    process.send(number)

    def _write_record(self) -> None:
        own = ProcessRef.of(os.getpid())
        if own is None:
            return
        processes = tuple(
            ProcessRecord(name=name, restarts=len(process.ends), process=process.ref)
            for name, process in self._processes.items()
        )
        write_record(self._var_dir, UpRecord(supervisor=own, processes=processes))
