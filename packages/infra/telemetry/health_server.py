"""Beat's pages for probes and Prometheus: `/live`, `/ready`, `/metrics`. What they say is decided in `health`."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from packages.infra.telemetry.beat_metrics import BeatMetrics
from packages.infra.telemetry.health import Health, live, ready
from packages.infra.telemetry.http_server import Page, PagesServer

if TYPE_CHECKING:
    from celery import Celery

# Settings of the app. Without a port nothing is served; 0 is any free one. A host of None means loopback.
HOST_SETTING: Final = "beat_health_host"
PORT_SETTING: Final = "beat_health_port"
LOOPBACK: Final = "127.0.0.1"


def health_server_of(app: "Celery", metrics: BeatMetrics, monotonic_s: Callable[[], float]) -> PagesServer | None:
    """The server of the app's settings, not yet started; None where they name no port."""
    port = app.conf.get(PORT_SETTING)
    if port is None:
        return None
    return health_server(
        metrics, monotonic_s=monotonic_s, host=str(app.conf.get(HOST_SETTING) or LOOPBACK), port=int(port)
    )


def health_server(metrics: BeatMetrics, *, monotonic_s: Callable[[], float], host: str, port: int) -> PagesServer:
    """A server of beat's pages, not yet started. `monotonic_s` is the clock that beat's ticks are noted by."""

    def is_live() -> Page:
        return _page_of(live(ticked_at_s=metrics.ticked_at_s, now_s=monotonic_s()))

    def is_ready() -> Page:
        return _page_of(ready(standing=metrics.standing, term=metrics.term, trouble=metrics.trouble))

    def pages() -> Mapping[str, Callable[[], Page]]:
        # Here, in the server's thread: beat starts without it.
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        from packages.infra.telemetry.beat_families import beat_registry

        registry = beat_registry(metrics, monotonic_s)

        def numbers() -> Page:
            return Page(200, CONTENT_TYPE_LATEST, generate_latest(registry))

        return {"/live": is_live, "/ready": is_ready, "/metrics": numbers}

    return PagesServer(pages, host=host, port=port)


def _page_of(health: Health) -> Page:
    body = json.dumps(health.facts).encode() + b"\n"
    return Page(200 if health.is_well else 503, "application/json", body)
