"""All that beat tells of itself, from the first tick to the end."""

import json
import socket
import urllib.request
from contextlib import closing
from pathlib import Path

from celery import Celery

from packages.infra.beat.standing import Standing, Trouble
from packages.infra.telemetry.beat_telemetry import BeatTelemetry

PATIENCE_S = 30.0


class Seconds:
    now_s = 5.0

    def __call__(self) -> float:
        return self.now_s


def told_by(app: Celery, address: Path) -> tuple[BeatTelemetry, Seconds]:
    clock = Seconds()
    return BeatTelemetry(app, clock, {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "20000000"}), clock


def test_it_serves_after_the_first_tick_and_tells_systemd(tmp_path: Path) -> None:
    app = Celery("told", set_as_current=False)
    app.conf.update(beat_health_port=0)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.settimeout(PATIENCE_S)
        manager.bind(str(tmp_path / "notify"))
        telemetry, clock = told_by(app, tmp_path / "notify")
        assert telemetry.port is None
        telemetry.ticked(pending=0)
        assert manager.recv(1000) == b"READY=1\nSTATUS=starting\nWATCHDOG=1"
        telemetry.metrics.stands(Standing.LEADING, term=4)
        telemetry.ticked(pending=2)
        assert manager.recv(1000) == b"STATUS=leading, term 4"
        telemetry.metrics.stands(Standing.NO_BROKER, term=4, trouble=Trouble.FULL)
        clock.now_s += 10
        telemetry.ticked(pending=3)
        assert manager.recv(1000) == b"STATUS=no_broker, term 4, broker: full\nWATCHDOG=1"
        assert telemetry._server is not None
        port = telemetry._server.bound_port(PATIENCE_S)
        assert telemetry.port == port
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/live", timeout=PATIENCE_S) as answer:
            assert json.load(answer) == {"live": True, "last_tick_age_s": 0.0}
        telemetry.stopping()
        assert manager.recv(1000) == b"STOPPING=1"
        telemetry.close()
        telemetry._server.join()


def test_without_a_port_and_without_systemd_it_only_counts() -> None:
    telemetry = BeatTelemetry(Celery("quiet", set_as_current=False), Seconds(), {})
    telemetry.close()
    telemetry.ticked(pending=1)
    telemetry.stopping()
    telemetry.close()
    assert (telemetry.port, telemetry.metrics.ticks, telemetry.metrics.pending) == (None, 1, 1)
