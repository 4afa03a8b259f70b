"""The supervisor over real processes, driven from outside as a terminal would."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from apps.cli.supervisor.record import end_leftovers, read_record
from packages.infra.embedded.process import ProcessRef
from packages.shared_settings.layers import ROOT

PATIENCE_S = 30.0

SCRIPT = """
    import os, signal, sys, time
    from datetime import timedelta
    from pathlib import Path
    from apps.cli.supervisor.process import ProcessSpec
    from apps.cli.supervisor.supervisor import Supervisor

    SLEEP = "import time; print('awake', flush=True); time.sleep(600)"
    STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
    CHILD = "[sys.executable, '-c', 'import time; time.sleep(600)']"
    PARENT = (f"import subprocess, sys, time; child = subprocess.Popen({{CHILD}});"
              "print('child', child.pid, flush=True); time.sleep(600)")

    def spec(name, code, **more):
        return ProcessSpec(name, [sys.executable, "-c", code], Path.cwd(), dict(os.environ), **more)

    var_dir = Path(sys.argv[1])
    sys.exit(Supervisor([{specs}], var_dir=var_dir, watch=lambda: ()).run())
"""


class Terminal:
    """A supervisor in a process of its own, and what it has printed so far."""

    def __init__(self, process: "subprocess.Popen[str]", output: Path) -> None:
        self.process = process
        self._output = output

    def text(self) -> str:
        return self._output.read_text()

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"no {what} in:\n{self.text()}"
            time.sleep(0.05)

    def wait_for_text(self, text: str, times: int = 1) -> None:
        self.wait_for(lambda: self.text().count(text) >= times, repr(text))


@contextmanager
def supervisor(tmp_path: Path, specs: str) -> Iterator[Terminal]:
    output = tmp_path / "output"
    with output.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SCRIPT).format(specs=specs), str(tmp_path)],
            cwd=ROOT,
            stdout=stream,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield Terminal(process, output)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        record = read_record(tmp_path)
        for entry in record.processes if record else ():
            if entry.process is not None and entry.process.is_alive():
                os.killpg(entry.process.pid, signal.SIGKILL)


def pid_of(tmp_path: Path, name: str) -> int:
    record = read_record(tmp_path)
    assert record is not None
    [found] = [entry.process for entry in record.processes if entry.name == name]
    assert found is not None
    return found.pid


def test_a_killed_process_starts_again_and_the_others_go_on(tmp_path: Path) -> None:
    specs = "spec('one', SLEEP, on_end=lambda: 'what it held went back'), spec('two', SLEEP)"
    with supervisor(tmp_path, specs) as terminal:
        terminal.wait_for_text("| awake", times=2)
        first, other = pid_of(tmp_path, "one"), pid_of(tmp_path, "two")
        os.kill(first, signal.SIGKILL)
        terminal.wait_for_text("one was killed by SIGKILL; the others go on")
        terminal.wait_for_text("what it held went back")
        terminal.wait_for_text("| awake", times=3)
        terminal.wait_for(lambda: pid_of(tmp_path, "one") != first, "new process")
        assert pid_of(tmp_path, "two") == other
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(PATIENCE_S) == 0
        record = read_record(tmp_path)
        assert record is not None
        assert [entry.state for entry in record.processes] == ["stopped", "stopped"]
        assert [entry.restarts for entry in record.processes] == [1, 0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with supervisor(tmp_path, "spec('one', SLEEP), spec('two', SLEEP)") as terminal:
        terminal.wait_for_text("| awake", times=2)
        terminal.process.send_signal(number)
        assert terminal.process.wait(PATIENCE_S) == 0


def test_a_second_signal_kills_what_does_not_stop(tmp_path: Path) -> None:
    with supervisor(tmp_path, "spec('one', STUBBORN)") as terminal:
        terminal.wait_for_text("| awake")
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for_text("stopping")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(PATIENCE_S) == 1
        assert "one does not stop; it is killed" in terminal.text()


def test_the_children_of_a_killed_process_are_ended(tmp_path: Path) -> None:
    with supervisor(tmp_path, "spec('one', PARENT)") as terminal:
        terminal.wait_for_text("| child")
        child = ProcessRef.of(int(terminal.text().split("| child ")[1].split()[0]))
        assert child is not None
        os.kill(pid_of(tmp_path, "one"), signal.SIGKILL)
        terminal.wait_for(lambda: not child.is_alive(), "end of the child")
        terminal.wait_for_text("| child", times=2)


def test_a_process_that_refuses_its_settings_stops_everything(tmp_path: Path) -> None:
    with supervisor(tmp_path, "spec('one', SLEEP), spec('two', 'import sys; sys.exit(2)')") as terminal:
        assert terminal.process.wait(PATIENCE_S) == 1
        assert "two ended with exit code 2; it is not started again, and everything stops" in terminal.text()


def test_a_process_that_runs_once_is_not_started_again(tmp_path: Path) -> None:
    specs = "spec('one', SLEEP), spec('once', 'print(1 + 1)', restarted=False)"
    with supervisor(tmp_path, specs) as terminal:
        terminal.wait_for_text("| 2")
        terminal.wait_for_text("| awake")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(PATIENCE_S) == 0
        assert terminal.text().count("once runs as process") == 1


def test_what_a_killed_supervisor_left_is_ended_by_the_next(tmp_path: Path) -> None:
    with supervisor(tmp_path, "spec('one', SLEEP)") as terminal:
        terminal.wait_for_text("| awake")
        left = ProcessRef.of(pid_of(tmp_path, "one"))
        assert left is not None
        terminal.process.kill()
        terminal.process.wait(10)
        assert left.is_alive()
        [said] = end_leftovers(tmp_path, grace=timedelta(seconds=5))
        assert "one was left running" in said
        assert not left.is_alive()
        assert end_leftovers(tmp_path, grace=timedelta(seconds=5)) == []
