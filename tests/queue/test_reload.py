"""Beat's entries made again when an env file changes: when it is asked for, what comes of it, what a bad file does."""

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import redis

from packages.infra.queue.reload import LOOK_EVERY_S, EnvFilesSource
from packages.shared_settings.errors import SettingsError
from packages.shared_settings.layers import ROOT

NOTIFY = "notifications.dispatch_pending"
EXPIRE = "trade_approval.expire_pending"
BOTH = "NOTIFICATIONS_ENABLED=true\nTRADING_APPROVAL_ENABLED=true\n"


class World:
    """A directory of env files with a source on it, and a clock that moves by hand."""

    def __init__(self, directory: Path, **environ: str) -> None:
        self.directory = directory
        self.now = 0.0
        self.source = EnvFilesSource({"MINSY_ENV_DIR": str(directory), **environ}, monotonic=lambda: self.now)

    def write(self, text: str, name: str = ".env.dev.beat") -> None:
        (self.directory / name).write_text(text)

    def look(self) -> bool:
        self.now += LOOK_EVERY_S
        return self.source.changed()

    def looks(self, n: int) -> list[bool]:
        return [self.look() for _ in range(n)]

    def reread(self) -> Mapping[str, dict[str, Any]]:
        """What beat does after a change."""
        assert self.looks(2) == [False, True]
        return self.source.read()


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / ".env.dev.beat").write_text(BOTH)
    return World(tmp_path)


def test_what_does_not_change_is_not_read_again(world: World) -> None:
    assert not any(world.looks(20))
    world.source.read()
    assert not any(world.looks(20))


def test_a_flag_turned_off_and_on_takes_its_job_away_and_back(world: World) -> None:
    before = world.source.read()
    assert set(before) == {NOTIFY, EXPIRE}
    world.write("TRADING_APPROVAL_ENABLED=true\n")
    assert set(world.reread()) == {EXPIRE}
    world.write(BOTH)
    assert world.reread() == before


def test_a_changed_interval_changes_its_entry_and_no_other(world: World) -> None:
    before = world.source.read()
    world.write(f"{BOTH}NOTIFICATIONS_LOOP_INTERVAL_SECONDS=20\n")
    after = world.reread()
    assert after[EXPIRE] == before[EXPIRE]
    assert after[NOTIFY] != before[NOTIFY]
    assert after[NOTIFY]["options"]["expires"] == 40.0
    assert after[NOTIFY]["schedule"].job.trigger.period_ms == 20_000


def test_a_changed_policy_changes_its_entry(world: World) -> None:
    before = world.source.read()
    world.write(f'{BOTH}NOTIFICATIONS_DISPATCH_PENDING_POLICY={{"overlap": "skip"}}\n')
    after = world.reread()
    assert [name for name in before if after[name] != before[name]] == [NOTIFY]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("NOTIFICATIONS_LOOP_INTERVAL_SECONDS=0", "seconds from 1 to 86400"),
        ("NOTIFICATONS_ENABLED=true", "did you mean NOTIFICATIONS_ENABLED"),
        ('NOTIFICATIONS_DISPATCH_PENDING_POLICY={"catch_up_limit": 5}', "catch_up_limit goes with"),
        ('NOTIFICATIONS_DISPATCH_PENDING_POLICY={"windows": "at night"}', "at night"),
        ("LOG_FORMAT='text", "it cannot be read"),
    ],
)
def test_a_bad_file_says_why_once_and_leaves_the_old_entries(world: World, line: str, said: str) -> None:
    before = world.source.read()
    kept = deepcopy(before)
    world.write(f"{BOTH}{line}\n")
    with pytest.raises(SettingsError, match=said) as caught:
        world.reread()
    assert str(world.directory / ".env.dev.beat") in str(caught.value)
    assert before == kept
    assert not any(world.looks(5))
    world.write(BOTH)
    assert world.reread() == before


@pytest.mark.parametrize("name", [".env.common", ".env.dev", ".env.secrets", "explicit"])
def test_a_file_of_any_layer_may_appear_and_vanish(tmp_path: Path, name: str) -> None:
    world = World(tmp_path, **({"MINSY_ENV_FILE": str(tmp_path / name)} if name == "explicit" else {}))
    world.write(BOTH, name)
    assert set(world.reread()) == {NOTIFY, EXPIRE}
    (tmp_path / name).unlink()
    if name == "explicit":
        with pytest.raises(SettingsError, match="MINSY_ENV_FILE"):
            world.reread()
    else:
        assert world.reread() == {}


def test_a_half_written_file_is_waited_for(world: World) -> None:
    before = world.source.read()
    world.write("")
    assert not world.look()
    world.write("NOTIFICATIONS_EN")
    assert not world.look()
    world.write(f"{BOTH}NOTIFICATIONS_LOOP_INTERVAL_SECONDS=20\n")
    assert set(world.reread()) == set(before)


def test_a_file_that_stays_half_written_is_refused_until_it_is_whole(world: World) -> None:
    world.source.read()
    world.write(f"{BOTH}NOTIFICATIONS_LOOP_INTERVAL_SEC")
    with pytest.raises(SettingsError, match="NOTIFICATIONS_LOOP_INTERVAL_SEC"):
        world.reread()
    world.write(f"{BOTH}NOTIFICATIONS_LOOP_INTERVAL_SECONDS=20\n")
    assert set(world.reread()) == {NOTIFY, EXPIRE}


def test_a_file_put_in_place_of_another_is_noticed_by_its_inode(world: World) -> None:
    file, other = world.directory / ".env.dev.beat", world.directory / "other"
    other.write_text(BOTH.replace("true", "fals"))
    stat = file.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(file)
    assert world.looks(2) == [False, True]


def test_the_files_are_looked_at_once_a_second(world: World) -> None:
    world.write("")
    answers = []
    for _ in range(20):
        world.now += LOOK_EVERY_S / 8
        answers.append(world.source.changed())
    # The first look finds another file than before, the second one finds the same again.
    assert [n for n, answer in enumerate(answers, start=1) if answer] == [16]


def test_asking_reads_at_once_although_nothing_changed(world: World) -> None:
    before = world.source.read()
    world.source.ask()
    assert world.source.changed()
    assert world.source.read() == before
    assert not world.source.changed()


def test_the_process_environment_stays_on_top(tmp_path: Path) -> None:
    environ = {"MINSY_ENV_DIR": str(tmp_path), "NOTIFICATIONS_LOOP_INTERVAL_SECONDS": "30"}
    source = EnvFilesSource(environ)
    (tmp_path / ".env.dev").write_text(f"{BOTH}NOTIFICATIONS_LOOP_INTERVAL_SECONDS=20\n")
    # The source has what was there when it was made.
    environ.clear()
    source.ask()
    assert source.read()[NOTIFY]["schedule"].job.trigger.period_ms == 30_000


def test_a_process_may_move_to_another_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "env").mkdir()
    monkeypatch.chdir(tmp_path)
    source = EnvFilesSource({"MINSY_ENV_DIR": "env", "MINSY_ENV_FILE": "own"})
    monkeypatch.chdir("/")
    (tmp_path / "env" / ".env.dev").write_text("NOTIFICATIONS_ENABLED=true\n")
    (tmp_path / "own").write_text("TRADING_APPROVAL_ENABLED=true\n")
    assert set(source.read()) == {NOTIFY, EXPIRE}


def test_a_source_shows_nothing_of_the_environment(tmp_path: Path) -> None:
    source = EnvFilesSource({"MINSY_ENV_DIR": str(tmp_path), "REDIS_URL": "redis://:hunter2@host/0"})
    assert "hunter2" not in repr(source)


def test_an_environment_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is no name"):
        EnvFilesSource({"MINSY_ENV_DIR": str(tmp_path), "MINSY_ENV": "a b"})


RELOADS = """
import sys, time
from packages.infra.queue.reload import EnvFilesSource, reload_on_hangup
source = EnvFilesSource({"MINSY_ENV_DIR": sys.argv[1]})
reload_on_hangup(source)
print("ready", flush=True)
while True:
    if source.changed():
        source.read()
        print("read", flush=True)
    time.sleep(0.01)
"""


def test_a_sighup_asks_for_a_reload(tmp_path: Path) -> None:
    with reloading(tmp_path, stdin=subprocess.DEVNULL) as process:
        for _ in range(2):
            process.send_signal(signal.SIGHUP)
            assert line_of(process) == "read\n"


def test_a_sighup_from_a_terminal_that_is_gone_ends_the_process(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    with reloading(tmp_path, stdin=terminal) as process:
        os.close(terminal)
        process.send_signal(signal.SIGHUP)
        assert line_of(process) == "read\n"
        # The kernel sends the signal now.
        os.close(controller)
        assert line_of(process) == ""
        assert process.wait() == -signal.SIGTERM


@pytest.mark.end_to_end
def test_a_running_beat_follows_its_files_and_survives_a_bad_one(tmp_path: Path, redis_url: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    environ = {**kept, "MINSY_ENV_DIR": str(tmp_path), "MINSY_VAR_DIR": str(tmp_path / "var"), "REDIS_URL": redis_url}
    command = [sys.executable, "-m", "celery", "-A", "apps.beat.celery_app", "beat", "-l", "info"]
    good = "NOTIFICATIONS_ENABLED=true\nNOTIFICATIONS_LOOP_INTERVAL_SECONDS=1\n"
    with (
        redis.Redis.from_url(redis_url) as queues,
        subprocess.Popen(
            command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as process,
        ended_after(process, seconds=90),
    ):
        try:
            said_by(process, "beat: Starting")
            assert queues.llen("notifications") == 0
            (tmp_path / ".env.dev.beat").write_text(good)
            assert queues.blpop(["notifications"], timeout=60)
            (tmp_path / ".env.dev.beat").write_text(f"{good}LOG_FORMAT=xml\n")
            process.send_signal(signal.SIGHUP)
            assert "LOG_FORMAT" in said_by(process, "settings_reload_refused")
            queues.delete("notifications")
            assert queues.blpop(["notifications"], timeout=60)
        finally:
            process.terminate()
            # What is left in the pipe must not keep it from ending.
            process.communicate()


def said_by(process: subprocess.Popen[str], text: str) -> str:
    """The next line of its log that has `text` in it."""
    assert process.stdout is not None
    return next(line for line in process.stdout if text in line)


@contextmanager
def ended_after(process: subprocess.Popen[str], *, seconds: float) -> Iterator[None]:
    """Kills a process that takes too long, so that reading from it fails instead of waiting for ever."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def reloading(directory: Path, *, stdin: int) -> Iterator[subprocess.Popen[str]]:
    """A process in a session of its own that says when it reads. A terminal as its stdin becomes its own."""
    own_terminal = "import os, sys\nif os.isatty(0): os.open(os.ttyname(0), os.O_RDWR)\n"
    command = [sys.executable, "-c", own_terminal + RELOADS, str(directory)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=stdin, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert line_of(process) == "ready\n"
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()
