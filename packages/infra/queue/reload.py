"""Beat's entries made again from the env files, when one of them changed or a SIGHUP came.

Decides when to read, and reads; whoever asks keeps the old entries when the new ones are refused. The process
environment of a running process does not change, and stays the top layer.

A change counts when two looks in a row, a second apart, see the same: an editor that empties a file before it writes is
not taken at its word. Whatever came of a read, the next one waits for the next change.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from packages.infra.queue.entries import beat_entries
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.layers import PATH_VARIABLES, layer_files
from packages.shared_settings.loading import load

LOOK_EVERY_S = 1.0

# For each file: modified, attributes changed, size, inode, device; None while it is not there.
Stamp = tuple[tuple[int, ...] | None, ...]


class EnvFilesSource:
    """The beat entries that the env files and the process environment ask for, and whether they may be new.

    Made before the settings are read for the first time, so that no change falls between. `monotonic` is a clock in
    seconds.

    Raises:
        SettingsError: MINSY_ENV is no name.
    """

    def __init__(self, environ: Mapping[str, str], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        # A process may move to another directory later; `celery beat --workdir` does.
        here = {name: str(Path(environ[name]).absolute()) for name in PATH_VARIABLES if environ.get(name)}
        self._environ = {**environ, **here}
        self._monotonic = monotonic
        self._files = layer_files(BeatSettings.service, self._environ)
        self._read_at_stamp = self._seen = _stamp(self._files)
        self._looked_at = monotonic()
        self._asked_for = False

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
        return beat_entries(load(BeatSettings, self._environ))


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
