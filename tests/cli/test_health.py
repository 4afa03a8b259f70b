"""`minsy health` as a probe runs it, against the pages of beat."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from packages.infra.beat.standing import Standing
from packages.infra.embedded.ports import choose_port
from packages.infra.telemetry.beat_metrics import BeatMetrics
from packages.infra.telemetry.health_server import LOOPBACK, health_server
from packages.infra.telemetry.http_server import Page, PagesServer
from packages.shared_settings.layers import ROOT

NOW_S = 100.0


def minsy(var: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return subprocess.run(
        [sys.executable, "-m", "apps.cli.main", "health", *arguments],
        env={**kept, "MINSY_ENV_DIR": str(var), "MINSY_VAR_DIR": str(var), **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def serving(server: PagesServer) -> Iterator[int]:
    server.start()
    try:
        port = server.bound_port(30.0)
        assert port is not None
        yield port
    finally:
        server.stop()
        server.join()


def test_a_probe_hears_whether_beat_lives_and_is_ready(tmp_path: Path) -> None:
    metrics = BeatMetrics()
    metrics.ticked(NOW_S - 2, pending=0)
    with serving(health_server(metrics, monotonic_s=lambda: NOW_S, host=LOOPBACK, port=0)) as port:
        lives = minsy(tmp_path, BEAT_HEALTH_PORT=str(port), BEAT_HEALTH_HOST="0.0.0.0")  # noqa: S104  # nothing is bound there
        assert (lives.returncode, lives.stdout) == (0, "live=true last_tick_age_s=2.0\n")
        unready = minsy(tmp_path, "--ready", "--port", str(port))
        assert unready.returncode == 1
        assert unready.stdout == "ready=false standing=null term=0 trouble=null\n"
        metrics.stands(Standing.FOLLOWING, term=4)
        ready = minsy(tmp_path, "--ready", "--url", f"http://{LOOPBACK}:{port}")
        assert (ready.returncode, ready.stdout) == (0, "ready=true standing=following term=4 trouble=null\n")
        as_json = minsy(tmp_path, "--ready", "--json", "--port", str(port))
        assert as_json.returncode == 0
        assert json.loads(as_json.stdout) == {"ready": True, "standing": "following", "term": 4, "trouble": None}


@pytest.mark.parametrize("url", ["https://x:1", "127.0.0.1:9810", "http://x", "http://x:99999", "http://[x"])
def test_an_address_of_another_form_is_refused(tmp_path: Path, url: str) -> None:
    done = minsy(tmp_path, "--url", url)
    assert (done.returncode, done.stderr) == (1, "Error: --url: this is not of the form http://host:port\n")


@pytest.mark.parametrize("port", ["0", "off"])
def test_without_a_port_there_is_nobody_to_ask(tmp_path: Path, port: str) -> None:
    done = minsy(tmp_path, BEAT_HEALTH_PORT=port)
    assert done.returncode == 1
    assert "BEAT_HEALTH_PORT names no port" in done.stderr


def test_nobody_there_is_one_line(tmp_path: Path) -> None:
    port = choose_port(None)
    done = minsy(tmp_path, "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: beat does not answer at 127.0.0.1:{port}: ")
    with socket.create_server((LOOPBACK, 0)) as mute:
        done = minsy(tmp_path, "--port", str(mute.getsockname()[1]), "--timeout", "0.2")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("said", ["somebody\nelse", '{"status": "up"}', "[]"])
def test_somebody_else_is_no_beat(tmp_path: Path, said: str) -> None:
    other = PagesServer(lambda: {"/live": lambda: Page(200, "text/plain", said.encode())}, host=LOOPBACK, port=0)
    with serving(other) as port:
        done = minsy(tmp_path, "--port", str(port))
    assert (done.returncode, done.stderr) == (1, f"Error: what answers at 127.0.0.1:{port} is no beat\n")
