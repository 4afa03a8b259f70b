"""Beat's pages over HTTP, on a real port."""

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse

import pytest
from celery import Celery

from packages.infra.beat.standing import Standing, Trouble
from packages.infra.telemetry.beat_metrics import BeatMetrics
from packages.infra.telemetry.health_server import LOOPBACK, health_server, health_server_of
from packages.infra.telemetry.http_server import Page, PagesServer
from packages.shared_settings.layers import ROOT

PATIENCE_S = 30.0


@contextmanager
def served(server: PagesServer) -> Iterator[int]:
    server.start()
    try:
        port = server.bound_port(PATIENCE_S)
        assert port is not None
        yield port
    finally:
        server.stop()
        server.join()


def ask(port: int, path: str, *, method: str = "GET", host: str = LOOPBACK) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(host, port, timeout=PATIENCE_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


class Seconds:
    now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def test_the_pages_follow_what_beat_says() -> None:
    metrics, clock = BeatMetrics(), Seconds()
    with served(health_server(metrics, monotonic_s=clock, host=LOOPBACK, port=0)) as port:
        answer, body = ask(port, "/live")
        assert (answer.status, json.loads(body)) == (503, {"live": False, "last_tick_age_s": None})
        metrics.ticked(48.5, pending=2)
        answer, body = ask(port, "/live?verbose")
        assert (answer.status, json.loads(body)) == (200, {"live": True, "last_tick_age_s": 1.5})
        clock.now_s = 100.0
        assert ask(port, "/live")[0].status == 503
        assert ask(port, "/ready")[0].status == 503
        metrics.stands(Standing.LEADING, term=3)
        answer, body = ask(port, "/ready")
        assert (answer.status, json.loads(body)) == (
            200,
            {"ready": True, "standing": "leading", "term": 3, "trouble": None},
        )
        metrics.stands(Standing.NO_BROKER, term=3, trouble=Trouble.TLS)
        answer, body = ask(port, "/ready")
        assert (answer.status, json.loads(body)["trouble"]) == (503, "tls")
        answer, body = ask(port, "/metrics")
        assert answer.status == 200
        assert str(answer.getheader("Content-Type")).startswith("text/plain; version=")
        assert b"\nminsy_beat_pending_fires 2.0\n" in body
        assert answer.getheader("Server") == "minsy "
        answer, body = ask(port, "/live", method="HEAD")
        assert (answer.status, body) == (503, b"")
        answer, body = ask(port, "/elsewhere")
        assert (answer.status, body) == (404, b"Here are: /live /metrics /ready\n")


def test_a_page_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Page:
        raise RuntimeError("no page")

    with served(PagesServer(lambda: {"/": broken}, host=LOOPBACK, port=0)) as port:
        assert ask(port, "/")[0].status == 500
        assert ask(port, "/")[0].status == 500
    assert [record.getMessage() for record in caplog.records].count("health_page_failed") == 2


def test_whoever_says_nothing_holds_nobody_up() -> None:
    with (
        served(PagesServer(lambda: {"/": lambda: Page(200, "text/plain", b"x")}, host=LOOPBACK, port=0)) as port,
        socket.create_connection((LOOPBACK, port)),
        socket.create_connection((LOOPBACK, port)) as rude,
    ):
        rude.sendall(b"\x16\x03\x01nonsense\r\n\r\n")
        assert ask(port, "/")[1] == b"x"


def test_a_port_that_is_taken_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        server = health_server(BeatMetrics(), monotonic_s=Seconds(), host=LOOPBACK, port=other.getsockname()[1])
        server.start()
        assert server.bound_port(PATIENCE_S) is None
        server.stop()
        server.join()
    [record] = [record for record in caplog.records if record.getMessage() == "health_port_not_served"]
    assert record.levelno == logging.WARNING
    assert "in use" in vars(record)["error"]


def test_the_port_is_free_again_after_a_stop() -> None:
    server = PagesServer(dict, host=LOOPBACK, port=0)
    with served(server) as port:
        pass
    with served(PagesServer(dict, host=LOOPBACK, port=port)) as again:
        assert again == port
    server.stop()


def test_a_stop_before_it_serves_is_a_stop() -> None:
    server = PagesServer(dict, host=LOOPBACK, port=0)
    server.stop()
    server.start()
    server.join()


def test_another_address_is_served() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 on loopback")
    with served(PagesServer(lambda: {"/": lambda: Page(200, "text/plain", b"x")}, host="::1", port=0)) as port:
        assert ask(port, "/", host="::1")[1] == b"x"


@pytest.mark.parametrize(("settings", "is_served"), [({}, False), ({"beat_health_port": 0}, True)])
def test_an_app_without_a_port_serves_nothing(settings: dict[str, int], is_served: bool) -> None:  # noqa: FBT001  # a column
    app = Celery("foreign", set_as_current=False)
    app.conf.update(settings)
    server = health_server_of(app, BeatMetrics(), Seconds())
    assert (server is not None) is is_served
    if server is not None:
        with served(server) as port:
            assert ask(port, "/metrics")[0].status == 200


def test_what_beat_imports_for_it_is_light() -> None:
    program = (
        "import sys; import packages.infra.telemetry.beat_telemetry; "
        "print({'prometheus_client', 'http.server'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
