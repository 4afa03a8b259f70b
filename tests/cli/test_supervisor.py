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

from apps.cli.supervisor.record import ProcessRecord, UpRecord, end_leftovers, read_record, write_record
from packages.infra.embedded.process import ProcessRef
from packages.shared_settings.layers import ROOT

PATIENCE_S = 30.0

SCRIPT = """
    import os, signal, sys, threading, time
    from datetime import timedelta
    from pathlib import Path
    from apps.cli.supervisor.process import NotYetError, ProcessSpec
    from apps.cli.supervisor.supervisor import Supervisor
    from apps.cli.supervisor.watch import Observation

    SLEEP = "import time; print('awake', flush=True); time.sleep(600)"
    STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
    CHILD = "[sys.executable, '-c', 'import time; time.sleep(600)']"
    PARENT = (f"import subprocess, sys, time; child = subprocess.Popen({{CHILD}});"
              "print('child', child.pid, flush=True); time.sleep(600)")

    def spec(name, code, **more):
        return ProcessSpec(name, [sys.executable, "-c", code], Path.cwd(), dict(os.environ), **more)

    class Watch:
        "Breaks, waits until it is interrupted, or tells of a server that has moved: as the files beside it ask."

        def __init__(self):
            self.interrupted = threading.Event()

        def look(self):
            if (var_dir / "break").exists():
                raise OSError("no space left")
            if (var_dir / "hang").exists():
                (var_dir / "hanging").touch()
                self.interrupted.wait()
            if (var_dir / "move").exists():
                (var_dir / "move").unlink()
                return Observation(["valkey runs again"], restart=True)
            return Observation()

        def interrupt(self):
            self.interrupted.set()

    def wait_for_broker():
        if (var_dir / "no-broker").exists():
            raise NotYetError("it waits for the broker")
        return "what it held went back"

    def fail():
        raise OSError("no such thing")

    def crash(number, frame):
        1 / 0

    signal.signal(signal.SIGUSR1, crash)
    var_dir = Path(sys.argv[1])
    sys.exit(Supervisor([{specs}], var_dir=var_dir, watch=Watch()).run())
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
def supervisor(tmp_path: Path, specs: str, *, stdout: int | None = None) -> Iterator[Terminal]:
    output = tmp_path / "output"
    with output.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SCRIPT).format(specs=specs), str(tmp_path)],
            cwd=ROOT,
            stdout=stream if stdout is None else stdout,
            stderr=subprocess.STDOUT if stdout is None else stream,
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


def is_running(tmp_path: Path, name: str, *, but: int | None = None) -> bool:
    record = read_record(tmp_path)
    return record is not None and any(
        entry.name == name and entry.state == "running" and entry.process is not None and entry.process.pid != but
        for entry in record.processes
    )


def pid_of(tmp_path: Path, name: str) -> int:
    record = read_record(tmp_path)
    assert record is not None
    [found] = [entry.process for entry in record.processes if entry.name == name]
    assert found is not None
    return found.pid


def test_a_killed_process_starts_again_and_the_others_go_on(tmp_path: Path) -> None:
    specs = "spec('one', SLEEP, before_start=wait_for_broker), spec('two', SLEEP)"
    with supervisor(tmp_path, specs) as terminal:
        terminal.wait_for_text("| awake", times=2)
        first, other = pid_of(tmp_path, "one"), pid_of(tmp_path, "two")
        os.kill(first, signal.SIGKILL)
        terminal.wait_for_text("one was killed by SIGKILL; the others go on")
        terminal.wait_for_text("one: what it held went back", times=2)
        terminal.wait_for_text("| awake", times=3)
        terminal.wait_for(lambda: is_running(tmp_path, "one", but=first), "new process")
        assert pid_of(tmp_path, "two") == other
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(PATIENCE_S) == 0
        record = read_record(tmp_path)
        assert record is not None
        assert [entry.state for entry in record.processes] == ["stopped", "stopped"]
        assert [entry.restarts for entry in record.processes] == [1, 0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
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


def test_two_processes_that_die_together_both_come_back(tmp_path: Path) -> None:
    with supervisor(tmp_path, "spec('one', SLEEP, before_start=wait_for_broker), spec('two', SLEEP)") as terminal:
        terminal.wait_for_text("| awake", times=2)
        (tmp_path / "no-broker").touch()
        (tmp_path / "break").touch()
        for name in ("one", "two"):
            os.kill(pid_of(tmp_path, name), signal.SIGKILL)
        terminal.wait_for_text("one: it waits for the broker")
        terminal.wait_for_text("two runs as process", times=2)
        terminal.wait_for_text("OSError: no space left It is tried again.")
        assert terminal.text().count("one runs as process") == 1
        (tmp_path / "no-broker").unlink()
        terminal.wait_for_text("one runs as process", times=2)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(PATIENCE_S) == 0
        assert terminal.text().count("one: it waits for the broker") == 1


def test_a_preparation_that_fails_does_not_keep_a_process_from_starting(tmp_path: Path) -> None:
    with supervisor(tmp_path, "spec('one', SLEEP, before_start=fail)") as terminal:
        terminal.wait_for_text("one: before its start: OSError: no such thing")
        terminal.wait_for_text("| awake")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(PATIENCE_S) == 0


def test_a_look_that_takes_long_holds_nothing_up(tmp_path: Path) -> None:
    with supervisor(tmp_path, "spec('one', SLEEP)") as terminal:
        terminal.wait_for_text("| awake")
        (tmp_path / "hang").touch()
        terminal.wait_for((tmp_path / "hanging").exists, "look")
        os.kill(pid_of(tmp_path, "one"), signal.SIGKILL)
        terminal.wait_for_text("| awake", times=2)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(PATIENCE_S) == 0


def test_when_a_server_has_moved_the_processes_start_again(tmp_path: Path) -> None:
    specs = "spec('one', SLEEP), spec('deaf', STUBBORN), spec('once', SLEEP, restarted=False)"
    with supervisor(tmp_path, specs) as terminal:
        terminal.wait_for_text("| awake", times=3)
        (tmp_path / "move").touch()
        terminal.wait_for_text("a server has moved, so the processes are started again")
        terminal.wait_for_text("one was killed by SIGTERM; it starts again")
        terminal.wait_for_text("deaf was killed by SIGQUIT; it starts again")
        terminal.wait_for_text("| awake", times=5)
        assert terminal.text().count("once runs as process") == 1
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(PATIENCE_S) == 0


def test_a_reader_that_goes_away_ends_nothing(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with supervisor(tmp_path, "spec('one', SLEEP)", stdout=writing) as terminal:
        os.close(writing)
        assert b"one runs as process" in os.read(reading, 1000)
        os.close(reading)
        terminal.wait_for(lambda: is_running(tmp_path, "one"), "process")
        first = pid_of(tmp_path, "one")
        os.kill(first, signal.SIGKILL)
        terminal.wait_for(lambda: is_running(tmp_path, "one", but=first), "new process")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(PATIENCE_S) == 0
        assert terminal.text() == ""


def test_a_reader_that_does_not_read_holds_nothing_up(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    flood = "print('x' * 1000 * 1000, flush=True); " + "import time; time.sleep(600)"
    with supervisor(tmp_path, f"spec('one', SLEEP), spec('flood', {flood!r})", stdout=writing) as terminal:
        os.close(writing)
        terminal.wait_for(lambda: is_running(tmp_path, "flood") and is_running(tmp_path, "one"), "both")
        first = pid_of(tmp_path, "one")
        os.kill(first, signal.SIGKILL)
        terminal.wait_for(lambda: is_running(tmp_path, "one", but=first), "new process")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(PATIENCE_S) == 0
        os.close(reading)
        assert terminal.text() == ""


def test_a_process_that_cannot_be_run_is_given_up_with_all(tmp_path: Path) -> None:
    broken = "ProcessSpec('broken', ['true'], Path('/no/such/directory'), dict(os.environ))"
    with supervisor(tmp_path, f"spec('one', SLEEP), {broken}") as terminal:
        assert terminal.process.wait(60) == 1
        assert "| it could not be run: " in terminal.text()
        assert "broken ended with exit code 127; it is not started again" in terminal.text()


def test_a_record_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where a directory should be")
    with supervisor(tmp_path, "spec('one', SLEEP)") as terminal:
        terminal.wait_for_text("| awake")
        terminal.wait_for_text("what runs could not be written down for `minsy status`")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(PATIENCE_S) == 0


def test_an_error_in_the_supervisor_leaves_no_process(tmp_path: Path) -> None:
    with supervisor(tmp_path, "spec('one', PARENT)") as terminal:
        terminal.wait_for_text("| child")
        child = ProcessRef.of(int(terminal.text().split("| child ")[1].split()[0]))
        parent = ProcessRef.of(pid_of(tmp_path, "one"))
        assert child is not None
        assert parent is not None
        terminal.process.send_signal(signal.SIGUSR1)
        assert terminal.process.wait(PATIENCE_S) == 1
        assert "ZeroDivisionError" in terminal.text()
        terminal.wait_for(lambda: not child.is_alive() and not parent.is_alive(), "end of both")


def test_what_a_child_of_a_killed_process_does_is_ended_by_the_next(tmp_path: Path) -> None:
    with supervisor(tmp_path, "spec('one', PARENT)") as terminal:
        terminal.wait_for_text("| child")
        child = ProcessRef.of(int(terminal.text().split("| child ")[1].split()[0]))
        assert child is not None
        parent = ProcessRef.of(pid_of(tmp_path, "one"))
        assert parent is not None
        terminal.process.kill()
        terminal.process.wait(10)
        assert parent.send(signal.SIGKILL)
        assert parent.wait_gone(timedelta(seconds=30))
        assert child.is_alive()
        [said] = end_leftovers(tmp_path, grace=timedelta(seconds=5))
        assert "children of one were left running" in said
        assert not child.is_alive()


def test_a_group_that_has_another_owner_by_now_is_left_alone(tmp_path: Path) -> None:
    stranger = "import subprocess, sys; subprocess.Popen(['/bin/sleep', '600']); print(flush=True)"
    with subprocess.Popen([sys.executable, "-c", stranger], stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout is not None
        leader.stdout.readline()
        gone = ProcessRef(pid=leader.pid, birth="another birth")
        supervisor_gone = ProcessRef(pid=os.getpid(), birth="another birth")
        write_record(tmp_path, UpRecord(supervisor_gone, (ProcessRecord("one", 0, gone),)))
        assert end_leftovers(tmp_path, grace=timedelta(seconds=5)) == []
        leader.wait()
        assert end_leftovers(tmp_path, grace=timedelta(seconds=5)) == []
        os.killpg(leader.pid, signal.SIGKILL)  # fails when nothing is left of the group
