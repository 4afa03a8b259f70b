"""Waits for what another thread or process does."""

import time
from collections.abc import Callable

PATIENCE_S = 20.0


def eventually(condition: Callable[[], object]) -> None:
    """Until it holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never was so"
        time.sleep(0.005)
