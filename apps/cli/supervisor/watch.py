"""What is looked at once a second beside the processes; in a thread, since bringing a server back may take minutes."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

WATCH_EVERY_S = 1.0


@dataclass(frozen=True)
class Observation:
    """Sentences to print, and whether the processes must start anew, since they hold an address that has changed."""

    sentences: Sequence[str] = ()
    restart: bool = False


class Watch(Protocol):
    """Something to look at regularly."""

    def look(self) -> Observation:
        """Look, and put right what can be put right; may take minutes."""

    def interrupt(self) -> None:
        """Let a `look` that is under way end soon; called from another thread."""


class Nothing:
    """No watch at all."""

    def look(self) -> Observation:
        """Nothing was seen."""
        return Observation()

    def interrupt(self) -> None:
        """Nothing is under way."""


class Watcher:
    """Looks in a thread until `stop`. The same sentences twice in a row are told once."""

    def __init__(self, watch: Watch, *, tell: Callable[[Observation], None]) -> None:
        self._watch = watch
        self._tell = tell
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns at once."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._watch.interrupt()

    def join(self, timeout_s: float) -> None:
        """Wait for the last look to end, no longer than this."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        told: Sequence[str] = ()
        while not self._stopping.wait(WATCH_EVERY_S):
            try:
                seen = self._watch.look()
            except Exception as error:  # noqa: BLE001  # the loop boundary: a failed look must not end the looking
                seen = Observation([f"{type(error).__name__}: {error} It is tried again."])
            if seen.restart or (seen.sentences and list(seen.sentences) != list(told)):
                self._tell(seen)
            told = seen.sentences
