"""When a process is started again, and how its end is told."""

from collections.abc import Sequence
from signal import SIGKILL, SIGQUIT, SIGTERM, Signals

import pytest

from apps.cli.supervisor.policy import LONGEST_DELAY_S, describe_end, restart_delay_s, stop_signals


@pytest.mark.parametrize(
    ("ends", "exit_code", "now", "expected"),
    [
        ([100.0], -9, 100.0, 0.5),
        ([90.0, 100.0], 1, 100.0, 1.0),
        ([80.0, 90.0, 100.0], 1, 100.0, 2.0),
        ([10.0, 20.0, 100.0], 1, 100.0, 0.5),  # what is past the window is forgotten
        ([60.0, 70.0, 80.0, 90.0, 100.0], 1, 100.0, LONGEST_DELAY_S),
        ([50.0, 60.0, 70.0, 80.0, 90.0, 100.0], 1, 100.0, None),  # it keeps dying
        ([100.0], 2, 100.0, None),  # it refuses its settings
        ([90.0, 100.0], 2, 100.0, 1.0),  # it ran before, so a server may be away for the moment
        ([100.0], 0, 100.0, 0.5),  # nobody asked it to end
    ],
)
def test_restart_delay(ends: list[float], exit_code: int, now: float, expected: float | None) -> None:
    assert restart_delay_s(ends, exit_code=exit_code, now=now) == expected


@pytest.mark.parametrize(
    ("exit_code", "said"),
    [
        (-9, "beat was killed by SIGKILL"),
        (-15, "beat was killed by SIGTERM"),
        (-40, "beat was killed by signal 40"),  # a real-time signal, which has no name
        (1, "beat ended with exit code 1"),
    ],
)
def test_an_end_is_told_in_words(exit_code: int, said: str) -> None:
    assert describe_end("beat", exit_code) == said


@pytest.mark.parametrize(
    ("taken", "now", "hurried", "expected"),
    [
        (0, 100.0, False, [SIGTERM]),
        (1, 103.9, False, []),
        (1, 104.0, False, [SIGQUIT]),
        (0, 105.0, False, [SIGTERM, SIGQUIT]),  # it was launched late; it has no more time than the others
        (2, 106.0, False, [SIGKILL]),
        (3, 200.0, False, []),
        (1, 100.0, True, [SIGQUIT, SIGKILL]),
    ],
)
def test_a_stop_asks_then_insists_then_kills(
    taken: int, now: float, *, hurried: bool, expected: Sequence[Signals]
) -> None:
    assert list(stop_signals(taken=taken, began=100.0, now=now, hurried=hurried)) == expected
