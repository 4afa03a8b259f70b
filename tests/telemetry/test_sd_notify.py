"""What systemd is told, on a real socket of its kind."""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from packages.infra.telemetry.sd_notify import SystemdNotices


class Seconds:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """The manager's socket, and its name as systemd writes it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@minsy-{secrets.token_hex(8)}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listening:
        listening.bind(name.replace("@", "\0", 1))
        listening.setblocking(False)  # noqa: FBT003  # the library's own signature
        yield listening, name


def heard(listening: socket.socket) -> list[str]:
    texts = []
    while True:
        try:
            texts.append(listening.recv(4096).decode())
        except BlockingIOError:
            return texts


def test_it_is_told_what_is_new_and_that_beat_lives(manager: tuple[socket.socket, str]) -> None:
    listening, name = manager
    clock = Seconds()
    notices = SystemdNotices(clock, {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000"})
    assert heard(listening) == []
    notices.ticked("following")
    assert heard(listening) == ["READY=1\nSTATUS=following\nWATCHDOG=1"]
    clock.now_s = 14.9
    notices.ticked("following")
    assert heard(listening) == []
    clock.now_s = 15.0
    notices.ticked("following")
    notices.ticked("leading,\nterm 4")
    notices.stopping()
    assert heard(listening) == ["WATCHDOG=1", "STATUS=leading, term 4", "STOPPING=1"]


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ({}, False),
        ({"WATCHDOG_USEC": "0"}, False),
        ({"WATCHDOG_USEC": "soon"}, False),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, False),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}, True),
    ],
)
def test_the_watchdog_hears_of_it_if_it_asks(
    manager: tuple[socket.socket, str],
    limit: dict[str, str],
    told: bool,  # noqa: FBT001  # a column
) -> None:
    listening, name = manager
    SystemdNotices(Seconds(), {"NOTIFY_SOCKET": name, **limit}).ticked("leading")
    [text] = heard(listening)
    assert ("WATCHDOG=1" in text) is told


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_systemd_nothing_happens(environment: dict[str, str]) -> None:
    notices = SystemdNotices(Seconds(), environment)
    notices.ticked("leading")
    notices.stopping()


def test_a_manager_that_is_away_or_does_not_read_is_no_matter(tmp_path: Path) -> None:
    clock = Seconds()
    path = tmp_path / "notify"
    notices = SystemdNotices(clock, {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "2"})
    notices.ticked("leading")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listening:
        listening.bind(str(path))
        for number in range(10_000):
            clock.now_s = number
            notices.ticked("leading")
        assert listening.recv(4096) == b"WATCHDOG=1"
