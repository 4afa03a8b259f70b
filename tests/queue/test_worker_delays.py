"""How late a worker begins beat's messages, as Prometheus hears it."""

import urllib.error
import urllib.request
from pathlib import Path
from uuid import uuid4

import pytest

from packages.infra.embedded.ports import choose_port
from packages.infra.queue.running_signals import present
from packages.infra.queue.worker_delays import delays_of
from packages.infra.telemetry.instants import rfc3339
from packages.infra.telemetry.worker_metrics import OTHER_QUEUE, WorkerDelays, worker_server
from packages.scheduling.instants import to_datetime
from tests.queue.running_app import TASK, make_app
from tests.queue.test_running_worker import PATIENCE_S, eventually, working

NOW = 1_795_330_000_123


def text(instant: int) -> str:
    return rfc3339(to_datetime(instant))


@pytest.mark.parametrize(
    ("change", "delays"),
    [
        ({}, (250, 1_000)),
        ({"beat_job": None}, None),
        ({"planned_for": "soon"}, None),
        ({"beat_published_at": None}, None),
        ({"beat_published_at": text(NOW + 5)}, (-5, 1_000)),
    ],
)
def test_delays_count_from_publishing_and_from_the_plan(
    change: dict[str, str | None], delays: tuple[int, int] | None
) -> None:
    headers = {"beat_job": "a.b", "planned_for": text(NOW - 1_000), "beat_published_at": text(NOW - 250)}
    assert delays_of(headers | change, NOW) == delays


def scraped(port: int) -> str:
    """The page; nothing as long as the port is not open."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())
    except urllib.error.URLError:
        return ""


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_tells_what_its_processes_begin(valkey_server: str, tmp_path: Path, pool: str) -> None:
    port = choose_port(None)
    with working(valkey_server, tmp_path, "-P", pool, RUNNING_APP_METRICS_PORT=str(port)):
        app = make_app(valkey_server)
        begun = present()
        headers = {
            "beat_job": uuid4().hex,
            "planned_for": text(begun - 400_000),
            "beat_published_at": text(begun),
        }
        for given, order in ((headers, "succeed"), (headers, "retry once"), ({}, "succeed")):
            directory = tmp_path / uuid4().hex
            directory.mkdir()
            app.send_task(TASK, args=(order, str(directory)), queue="maintenance", headers=given)
        whole = 'minsy_worker_end_to_end_delay_seconds_{}{{{}queue="maintenance"}} {}'
        eventually(lambda: whole.format("count", "", "2.0") in scraped(port), "they are not counted")
        pages = scraped(port)
        assert whole.format("bucket", 'le="300.0",', "0.0") in pages
        assert whole.format("bucket", 'le="900.0",', "2.0") in pages
        assert 'minsy_worker_start_delay_seconds_bucket{le="60.0",queue="maintenance"} 2.0' in pages
        app.control.purge()


def test_a_queue_that_is_not_known_is_another_one() -> None:
    delays = WorkerDelays(["known"])
    server = worker_server(delays, host="127.0.0.1", port=0)
    delays.begun("known", start_delay_ms=1, end_to_end_ms=2)
    delays.begun("unknown", start_delay_ms=10**30, end_to_end_ms=2)
    delays.pipe.take_in_thread()
    server.start()
    port = server.bound_port(PATIENCE_S)
    assert port is not None
    eventually(lambda: f'count{{queue="{OTHER_QUEUE}"}} 1.0' in scraped(port), "it is not counted")
    assert 'minsy_worker_start_delay_seconds_sum{queue="known"} 0.001' in scraped(port)
    server.stop()
    server.join()
    delays.pipe.close()


def test_a_pipe_that_nobody_reads_holds_no_task_up() -> None:
    delays = WorkerDelays([])
    for _ in range(100_000):
        delays.begun("x", start_delay_ms=1, end_to_end_ms=2)
    delays.pipe.close()
    delays.begun("x", start_delay_ms=1, end_to_end_ms=2)
