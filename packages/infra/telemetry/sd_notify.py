"""Tells systemd that beat is ready, what it does, that it lives, and that it stops; nothing where there is no systemd.

A unit with `Type=notify` and `WatchdogSec=` restarts a beat that hangs. Each notice is one datagram without an answer;
one that cannot be sent is left out.
"""

import logging
import os
import socket
from collections.abc import Callable, Mapping
from typing import Final

log = logging.getLogger(__name__)

_ADDRESS: Final = "NOTIFY_SOCKET"
_LIMIT: Final = "WATCHDOG_USEC"
_LIMIT_OF_PID: Final = "WATCHDOG_PID"


class SystemdNotices:
    """For one thread. `monotonic_s` is a clock in seconds; `environment` is what systemd has given the process."""

    def __init__(self, monotonic_s: Callable[[], float], environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        self._monotonic_s = monotonic_s
        self._address = _address(given.get(_ADDRESS, ""))
        self._every_s = _half_limit_s(given, os.getpid()) if self._address else None
        self._alive_at_s = float("-inf")
        self._is_ready = False
        self._status = ""

    def ticked(self, status: str) -> None:
        """A tick is over. `status`: one line for `systemctl status`; sent when it is another one than before."""
        if not self._address:
            return
        notices = []
        if not self._is_ready:
            self._is_ready = True
            notices.append("READY=1")
        if status != self._status:
            self._status = status
            notices.append(f"STATUS={' '.join(status.split())}")
        if self._every_s is not None and self._monotonic_s() - self._alive_at_s >= self._every_s:
            self._alive_at_s = self._monotonic_s()
            notices.append("WATCHDOG=1")
        if notices:
            self._send("\n".join(notices))

    def stopping(self) -> None:
        """Beat is about to end."""
        if self._address:
            self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
                # The manager reads them; if it does not, beat must not wait for it.
                notices.setblocking(False)  # noqa: FBT003  # the library's own signature
                notices.connect(self._address)
                notices.send(text.encode())
        except OSError as error:
            log.debug("systemd_not_told", extra={"error": str(error)})


def _address(text: str) -> str:
    """The socket's address: a path, or a name in the abstract namespace, which is written with an `@`."""
    if text.startswith("@"):
        return f"\0{text[1:]}"
    return text if text.startswith("/") else ""


def _half_limit_s(given: Mapping[str, str], pid: int) -> float | None:
    """How often the watchdog is told of this process: at half of its limit, as systemd advises; None for never."""
    if given.get(_LIMIT_OF_PID, str(pid)) != str(pid):
        return None
    limit = given.get(_LIMIT, "")
    return int(limit) / 2_000_000 if limit.isdecimal() and int(limit) > 0 else None
