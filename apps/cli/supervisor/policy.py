"""When a process that ended is started again, and when that is given up. Pure; the clock is an argument."""

from collections.abc import Sequence
from signal import Signals

WINDOW_S = 60.0
MOST_ENDS_IN_WINDOW = 5
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 8.0
# Wrong settings. At its first start that is final; later it may be a server that is just being started again.
EXIT_REFUSED = 2


def restart_delay_s(ends: Sequence[float], *, exit_code: int, now: float) -> float | None:
    """Seconds to wait before the next start of a process; None when it should not be started again.

    `ends` are the moments, in seconds on the clock of `now`, at which it ended before, this end included.
    """
    recent = [end for end in ends if now - end <= WINDOW_S]
    if (exit_code == EXIT_REFUSED and len(ends) == 1) or len(recent) > MOST_ENDS_IN_WINDOW:
        return None
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** (len(recent) - 1))


def describe_end(name: str, exit_code: int) -> str:
    """How a process ended, in words. A negative exit code is the number of the signal that killed it."""
    if exit_code < 0:
        return f"{name} was killed by {Signals(-exit_code).name}"
    return f"{name} ended with exit code {exit_code}"
