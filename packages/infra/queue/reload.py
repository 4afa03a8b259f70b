"""Beat's entries and the thresholds of its control, made again when an env file changed or a SIGHUP came.

Decides when to read, and reads; when anything is refused, whoever asks keeps the old entries, and the control its old
thresholds. The process environment of a running process does not change, and stays the top layer.

A change counts when two looks in a row, a second apart, see the same: an editor that empties a file before it writes is
not taken at its word. Whatever came of a read, the next one waits for the next change.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from packages.catalogue.jobs import enabled_jobs
from packages.infra.queue.beat_control import BeatControl, objectives_file, policy_in_use
from packages.infra.queue.entries import beat_entries, takes_priorities
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.model import Job
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.layers import PATH_VARIABLES, layer_files
from packages.shared_settings.loading import load

LOOK_EVERY_S = 1.0

# For each file: modified, attributes changed, size, inode, device; None while it is not there.
Stamp = tuple[tuple[int, ...] | None, ...]


class EnvFilesSource:
    """What the env files and the process environment ask for, and whether it may be new; the file of objectives, too.

    Made before the settings are read for the first time, so that no change falls between. `control` follows what is
    read. `monotonic` is a clock in seconds.

    Raises:
        SettingsError: MINSY_ENV is no name.
    """

    def __init__(self, environ: Mapping[str, str], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        # A process may move to another directory later; `celery beat --workdir` does.
        here = {name: str(Path(environ[name]).absolute()) for name in PATH_VARIABLES if environ.get(name)}
        self._environ = {**environ, **here}
        self._monotonic = monotonic
        self.control = BeatControl()
        self._layers = self._files = layer_files(BeatSettings.service, self._environ)
        self._read_at_stamp = self._seen = _stamp(self._files)
        self._looked_at = monotonic()
        self._asked_for = False
        # A running process stays on its broker, whatever the files say later.
        self._priorities: bool | None = None

    def begin(self, settings: BeatSettings, jobs: Collection[Job]) -> None:
        """Go by the settings that were read for the start; `jobs` are those that they turn on.

        Raises:
            SettingsError: its thresholds contradict each other, or the file of objectives cannot be used.
        """
        self.control.use(self._policy(settings), settings, jobs)
        self._priorities = takes_priorities(settings)

    @property
    def has_priorities(self) -> bool:
        """Whether messages say how urgent they are."""
        return bool(self._priorities)

    def leave_out_priorities(self) -> None:
        """Let messages say nothing of how urgent they are from now on; the broker has no lists for it."""
        self._priorities = False

    def ask(self) -> None:
        """Let the next `changed` say yes. Does nothing else, so that a signal handler may call it."""
        self._asked_for = True

    def changed(self) -> bool:
        """Whether to call `read` now. Cheap: looks at the files at most once a second, and never into them."""
        if self._asked_for:
            return True
        now = self._monotonic()
        if now - self._looked_at < LOOK_EVERY_S:
            return False
        self._looked_at = now
        before, self._seen = self._seen, _stamp(self._files)
        return self._seen == before and self._seen != self._read_at_stamp

    def read(self) -> Mapping[str, dict[str, Any]]:
        """The entries by job name, from settings that were read and checked now.

        Raises:
            SettingsError: the settings cannot be used; it has every problem.
        """
        self._asked_for = False
        self._read_at_stamp = self._seen = _stamp(self._files)
        settings = load(BeatSettings, self._environ)
        policy, jobs = self._policy(settings), enabled_jobs(settings)
        self.control.use(policy, settings, jobs)
        self.control.warn()
        if self._priorities is None:
            self._priorities = takes_priorities(settings)
        return beat_entries(jobs, priorities=self._priorities)

    def _policy(self, settings: BeatSettings) -> ControlPolicy | None:
        file = objectives_file(settings)
        self._files = self._layers if file is None else (*self._layers, file)
        # Before it is read, as the others.
        own = self._read_at_stamp[: len(self._layers)]
        self._read_at_stamp = self._seen = own if file is None else (*own, _stamp_of(file))
        return policy_in_use(settings)


def reload_on_hangup(source: EnvFilesSource) -> None:
    """Make SIGHUP ask for a reload. When it came because the terminal is gone, it ends the process as SIGTERM does.

    A beat that is a thread of a worker leaves the signal to the worker. A process that was told to ignore SIGHUP
    (`nohup`) goes on when its terminal is gone.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    had_terminal = os.isatty(0)
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def hung_up(*_: object) -> None:
        if had_terminal and not ignored and not os.isatty(0):
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            source.ask()

    signal.signal(signal.SIGHUP, hung_up)


def _stamp(files: tuple[Path, ...]) -> Stamp:
    return tuple(_stamp_of(path) for path in files)


def _stamp_of(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev
