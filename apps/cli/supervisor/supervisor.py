"""Runs the processes of `minsy up` in one terminal: relays their lines, starts again what dies, stops all on a signal.

States of a process: prepared -> running -> ended -> (after a delay) prepared, or given up. One that is given up stops
the whole, so that nobody takes half a service for a whole one. How a stop goes on stands in `policy`. A second Ctrl-C
kills at once. However `run` ends, no process of it is left.

Nothing here waits for anything but events: output, preparations and the watch have threads of their own.
"""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from honcho.colour import get_colours
from honcho.printer import Message, Printer

from apps.cli.supervisor.output import standard_output
from apps.cli.supervisor.policy import STOP_STEPS, describe_end, restart_delay_s
from apps.cli.supervisor.process import ProcessSpec, SupervisedProcess
from apps.cli.supervisor.record import MARK, ProcessRecord, UpRecord, write_record
from apps.cli.supervisor.watch import Nothing, Observation, Watch, Watcher
from packages.infra.embedded.process import ProcessRef

SYSTEM = "minsy"
POLL_S = 0.1
PREPARE_AGAIN_S = 1.0
# After the kill: for the last lines, and for the end of a look that was under way.
LAST_WAIT_S = 1.0
# Closing the terminal, and Ctrl-\, would otherwise end the supervisor alone.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Supervisor:
    """Supervises `specs` until a signal, and looks at `watch` about once a second."""

    def __init__(self, specs: Sequence[ProcessSpec], *, var_dir: Path, watch: Watch | None = None) -> None:
        colours = get_colours()
        self._processes = {spec.name: SupervisedProcess(spec, colour=next(colours)) for spec in specs}
        self._output = standard_output()
        self._printer = Printer(self._output, width=max(len(name) for name in (*self._processes, SYSTEM)))
        self._events: SimpleQueue[Any] = SimpleQueue()
        self._var_dir = var_dir
        self._mark: Mapping[str, str] = {MARK: str(var_dir.resolve())}
        self._watcher = Watcher(watch or Nothing(), tell=self._saw)
        self._signals = 0
        self._stop_began: float | None = None
        self._failed = False

    def say(self, sentence: str) -> None:
        """Print a line of the supervisor's own."""
        self._printer.write(
            Message(type="line", data=sentence, time=datetime.now().astimezone(), name=SYSTEM, colour=None)
        )

    def run(self) -> int:
        """Start everything and return when everything has stopped: 0 after a clean stop, 1 after a failure."""
        for number in STOP_SIGNALS:
            # `nohup` means that the end of the terminal is not to matter.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        try:
            self._watcher.start()
            while not self._all_stopped():
                self._relay_for(POLL_S)
                self._end_leftover_children()
                self._go_on(time.monotonic())
        finally:
            self._watcher.stop()
            self._leave_nothing()
            self._watcher.join(LAST_WAIT_S)
            self._output.close(timeout_s=LAST_WAIT_S)
        return 1 if self._failed else 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        # The system and the shell both tell of a closed terminal; that is no second Ctrl-C.
        self._signals = max(1, self._signals) if number == signal.SIGHUP else self._signals + 1

    def _saw(self, seen: Observation) -> None:
        self._events.put(Message(type="seen", data=seen, time=None, name=SYSTEM, colour=None))

    @property
    def _is_stopping(self) -> bool:
        return self._stop_began is not None or self._signals > 0

    def _all_stopped(self) -> bool:
        if self._stop_began is None:
            return all(process.finished for process in self._processes.values())
        # A process that left its group may hold the output of a dead one open for ever.
        gave_up_at = self._stop_began + STOP_STEPS[-1][0] + LAST_WAIT_S
        return time.monotonic() >= gave_up_at or not any(p.is_there for p in self._processes.values())

    def _relay_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                self._take(self._events.get(timeout=left))
            except Empty:
                return

    def _take(self, message: Any) -> None:  # noqa: ANN401  # Honcho has no types
        if message.type == "seen":
            self._act_on(message.data)
            return
        process = self._processes[message.name]
        match message.type:
            case "line":
                self._printer.write(message)
            case "prepared":
                self._prepared(process, ready=message.data["ready"], sentence=message.data["sentence"])
            case "start":
                process.started(message.data["pid"])
                self.say(f"{message.name} runs as process {message.data['pid']}")
                self._write_record()
            case "stop":
                self._ended(process, message.data["returncode"])

    def _act_on(self, seen: Observation) -> None:
        for sentence in seen.sentences:
            self.say(sentence)
        if seen.restart and not self._is_stopping:
            self.say("a server has moved, so the processes are started again")
            for process in self._processes.values():
                if process.spec.restarted:
                    process.stop(time.monotonic())

    def _prepared(self, process: SupervisedProcess, *, ready: bool, sentence: str | None) -> None:
        if sentence and (ready or sentence != process.waits_for):
            self.say(f"{process.spec.name}: {sentence}")
        process.waits_for = None if ready else sentence
        if self._is_stopping:
            return
        if ready:
            process.start(self._events, mark=self._mark)
        else:
            process.start_at = time.monotonic() + PREPARE_AGAIN_S

    def _ended(self, process: SupervisedProcess, exit_code: int) -> None:
        was_asked = process.stop_began is not None
        process.ended()
        said = describe_end(process.spec.name, exit_code)
        now = time.monotonic()
        if self._is_stopping:
            self.say(said)
        elif not process.spec.restarted:
            process.finished = True
            if exit_code:
                self.say(f"{said}; it is not run again")
        elif was_asked:
            process.start_at, process.restarts = now, process.restarts + 1
            self.say(f"{said}; it starts again")
        else:
            process.ends.append(now)
            delay_s = restart_delay_s(process.ends, exit_code=exit_code, now=now)
            if delay_s is None:
                self.say(f"{said}; it is not started again, and everything stops")
                self._failed = True
                self._begin_stop(now)
                return
            process.start_at, process.restarts = now + delay_s, process.restarts + 1
            self.say(f"{said}; the others go on, and it starts again in {delay_s:g} s")
        self._write_record()

    def _end_leftover_children(self) -> None:
        for process in self._processes.values():
            if process.died_unnoted:
                process.kill_group()

    def _go_on(self, now: float) -> None:
        if self._is_stopping:
            if self._stop_began is None:
                self.say("stopping; running tasks may finish (Ctrl-C again kills)")
            self._begin_stop(now)
        for process in self._processes.values():
            if self._is_stopping or process.stop_began is not None:
                # A process that was just being launched when the stop began has no more time than the others.
                if self._stop_began is not None and process.stop_began is None:
                    process.stop_began = self._stop_began
                if process.stop(now, hurried=self._signals > 1):
                    self.say(f"{process.spec.name} does not stop; it is killed")
                    self._failed = self._failed or self._is_stopping
            elif process.start_at is not None and now >= process.start_at:
                process.prepare(self._events)

    def _begin_stop(self, now: float) -> None:
        if self._stop_began is None:
            self._stop_began = now
            self._watcher.stop()

    def _leave_nothing(self) -> None:
        """Whatever happened, kill what is still there; after an ordinary stop nothing is."""
        deadline = time.monotonic() + LAST_WAIT_S
        for process in self._processes.values():
            while process.launching and time.monotonic() < deadline:
                self._relay_for(POLL_S)
            process.ended()
        self._write_record()

    def _write_record(self) -> None:
        own = ProcessRef.of(os.getpid())
        if own is None:
            return
        processes = tuple(
            ProcessRecord(name=name, restarts=process.restarts, process=process.ref, finished=process.finished)
            for name, process in self._processes.items()
        )
        try:
            write_record(self._var_dir, UpRecord(supervisor=own, processes=processes))
        except OSError as error:
            self.say(f"what runs could not be written down for `minsy status`: {error}")
