"""Which loopback port a server listens on.

Chosen below the range that the system gives to outgoing connections, so that a port stays free while
its server is down for a moment. Nothing is reserved: whoever binds first has it, and the caller tries again.
"""

import secrets
import socket
import time

LOOPBACK = "127.0.0.1"
_FIRST, _LAST = 20_000, 29_999
_ATTEMPTS = 200
_PATIENCE_S = 1.0
_POLL_S = 0.02


def is_free(port: int) -> bool:
    """True when a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections of a server that has just ended do not hold its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose_port(preferred: int | None) -> int:
    """The preferred port when it is free or soon becomes so, else some free one.

    A server with several threads counts as dead a moment before the last of them lets go of its port; to move for that
    would cost every client its connection for nothing.

    Raises:
        OSError: no free port was found in 20000-29999.
    """
    if preferred is not None and _becomes_free(preferred):
        return preferred
    for _ in range(_ATTEMPTS):
        port = _FIRST + secrets.randbelow(_LAST - _FIRST + 1)
        if is_free(port):
            return port
    raise OSError(f"no free port on {LOOPBACK} between {_FIRST} and {_LAST}")


def _becomes_free(port: int) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while not is_free(port):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True
