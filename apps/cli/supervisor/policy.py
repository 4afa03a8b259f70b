"""When a process that ended starts again, when that is given up, and how a stop goes on. Pure: time is an argument."""

from collections.abc import Sequence
from signal import SIGKILL, SIGQUIT, SIGTERM, Signals

WINDOW_S = 60.0
MOST_ENDS_IN_WINDOW = 5
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 8.0
# Wrong settings. At its first start that is final; later it may be a server that is just being started again.
EXIT_REFUSED = 2
# Asks first (running tasks may finish), then insists (a worker puts its messages back), then kills.
# The whole stop, with the servers after it, stays below ten seconds.
STOP_STEPS = ((0.0, SIGTERM), (4.0, SIGQUIT), (6.0, SIGKILL))


def restart_delay_s(ends: Sequence[float], *, exit_code: int, now: float) -> float | None:
    """Seconds to wait before the next start of a process; None when it should not be started again.

    `ends` are the moments, in seconds on the clock of `now`, at which it ended before, this end included.
    """
    recent = [end for end in ends if now - end <= WINDOW_S]
    if (exit_code == EXIT_REFUSED and len(ends) == 1) or len(recent) > MOST_ENDS_IN_WINDOW:
        return None
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** (len(recent) - 1))


def stop_signals(*, taken: int, began: float, now: float, hurried: bool) -> Sequence[Signals]:
    """The signals that are due now in a stop that began then, after `taken` steps; all that are left when hurried."""
    return [number for after_s, number in STOP_STEPS[taken:] if hurried or now - began >= after_s]


def describe_end(name: str, exit_code: int) -> str:
    """How a process ended, in words. A negative exit code is the number of the signal that killed it."""
    if exit_code >= 0:
        return f"{name} ended with exit code {exit_code}"
    try:
        return f"{name} was killed by {Signals(-exit_code).name}"
    except ValueError:  # most real-time signals have no name
        return f"{name} was killed by signal {-exit_code}"
