"""Holds back calls of Celery's signals for messages that are captured and not yet with the broker.

Only calls of the thread that holds them are held; those of others reach their receivers as ever. Receivers may be
connected and disconnected meanwhile. Decides nothing.
"""

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from celery.utils.dispatch.signal import Signal

# The key of a receiver for every sender, as Celery writes it: its own id, and that of no sender.
_EVERY_SENDER: Final = id(None)


@dataclass(frozen=True, slots=True)
class HeldCall:
    """A call of a signal that was not made."""

    signal: Signal
    named: dict[str, Any]

    def __call__(self) -> None:
        """Make it now: each receiver that is connected now is called; what one raises is logged by Celery."""
        self.signal.send(**self.named)


@contextmanager
def held(signals: Sequence[Signal], is_held: Callable[[], bool]) -> Iterator[list[HeldCall]]:
    """Hold calls of `signals` back inside the block, if `is_held` says so at the call. The result has them in order."""
    calls: list[HeldCall] = []
    with ExitStack() as stack:
        for signal in signals:
            if signal.receivers:
                stack.enter_context(_Hold(signal, is_held, calls))
        yield calls


class _Hold:
    """Stands before the receivers of one signal."""

    def __init__(self, signal: Signal, is_held: Callable[[], bool], calls: list[HeldCall]) -> None:
        self._signal: Any = signal  # celery-types does not know its lock and its caches
        self._is_held = is_held
        self._calls = calls
        self._thread = threading.get_ident()
        self._is_open = True
        # Whether the call that runs now, in our thread, is held.
        self._is_holding = False

    def __enter__(self) -> None:
        with self._signal.lock:
            # While we stand before them, nobody would see that they are dead.
            self._signal._clear_dead_receivers()  # noqa: SLF001  # there is no other way, for this and below
            behind = [(key, _Behind(self, receiver)) for key, receiver in self._signal.receivers]
            self._signal.receivers[:] = [((id(self), _EVERY_SENDER), self), *behind]
            self._signal.sender_receivers_cache.clear()

    def __exit__(self, *_: object) -> None:
        self._is_open = False
        with self._signal.lock:
            self._signal.receivers[:] = [
                (key, receiver.receiver if isinstance(receiver, _Behind) and receiver.hold is self else receiver)
                for key, receiver in self._signal.receivers
                if receiver is not self
            ]
            self._signal.sender_receivers_cache.clear()
            self._signal._dead_receivers = True  # noqa: SLF001  # one may have died meanwhile

    def __call__(self, signal: Signal, **named: Any) -> None:  # noqa: ANN401  # what a signal is called with
        """The first of the receivers: notes the call that is held."""
        if self._is_ours():
            self._is_holding = self._is_held()
            if self._is_holding:
                self._calls.append(HeldCall(signal, named))

    def holds_now(self) -> bool:
        """Whether the call that runs in this thread is one that is held."""
        return self._is_holding and self._is_ours()

    def _is_ours(self) -> bool:
        return self._is_open and threading.get_ident() == self._thread


@dataclass(frozen=True, slots=True)
class _Behind:
    """A receiver that a hold stands before."""

    hold: _Hold
    receiver: Any

    def __call__(self, **named: Any) -> Any:  # noqa: ANN401  # as a receiver's
        if self.hold.holds_now():
            return None
        receiver = self.receiver() if isinstance(self.receiver, weakref.ReferenceType) else self.receiver
        return None if receiver is None else receiver(**named)
