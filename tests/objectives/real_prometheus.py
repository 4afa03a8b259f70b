"""A Prometheus server of one test, from the package of the distribution, where that is installed."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from packages.infra.embedded.ports import LOOPBACK, choose_port

PREFIX: Final = "/metrics-of/all"
USER: Final = "minsy"
PASSWORD: Final = "p@ss:w0rd"
QUOTED: Final = "p%40ss%3Aw0rd"
_HASHED: Final = "$2b$04$8A2S1.9q2spUqglcx1emcewidRuz0ZaOnFTWyBtEG51U.u33GNaJS"
_ENDS_WITHIN_S: Final = 30.0


class Real(NamedTuple):
    """`url` has the user and the password in it."""

    host: str
    url: str


def why_no_prometheus() -> str | None:
    """Why there is none; None if there is one."""
    return "Prometheus is not installed (Debian: prometheus)" if shutil.which("prometheus") is None else None


@contextmanager
def real_prometheus() -> Iterator[Real]:
    """A server that looks at one small program ten times a second: inside the block, maybe not ready yet."""
    directory = Path(tempfile.mkdtemp(prefix="minsy-prometheus-"))
    target, thread = start_http_server(0, addr=LOOPBACK, registry=_counted())
    (directory / "prometheus.yml").write_text(
        "global: {scrape_interval: 100ms, scrape_timeout: 100ms}\n"
        "scrape_configs:\n"
        f"- {{job_name: program, static_configs: [{{targets: ['{LOOPBACK}:{target.server_port}']}}]}}\n",
        encoding="utf-8",
    )
    (directory / "web.yml").write_text(f"basic_auth_users: {{{USER}: '{_HASHED}'}}\n", encoding="utf-8")
    host = f"{LOOPBACK}:{choose_port(None)}"
    server = subprocess.Popen(
        [
            str(shutil.which("prometheus")),
            f"--config.file={directory / 'prometheus.yml'}",
            f"--web.config.file={directory / 'web.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={host}",
            f"--web.external-url=http://elsewhere.invalid{PREFIX}/",
        ],
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Real(host, f"http://{USER}:{QUOTED}@{host}{PREFIX}")
    finally:
        server.terminate()
        try:
            server.wait(_ENDS_WITHIN_S)
        finally:
            server.kill()
            target.shutdown()
            target.server_close()
            thread.join()
            shutil.rmtree(directory, ignore_errors=True)


def _counted() -> CollectorRegistry:
    registry = CollectorRegistry()
    requests = Counter("requests", "By status.", ["code"], registry=registry)
    requests.labels("200").inc(117)
    requests.labels("503").inc(3)
    Gauge("broken", "Of nobody knows what.", registry=registry).set(float("nan"))
    return registry
