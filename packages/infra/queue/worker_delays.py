"""Connects a worker to its metrics: how late it begins beat's messages. Off unless the app's settings name a port.

Only the first try of a message counts, and only where both clocks are known: when it was published and planned.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from celery import Task, signals

from packages.infra.queue.running_signals import instant_of, present
from packages.infra.telemetry.worker_metrics import WorkerDelays, worker_server

# Settings of the app. 0 is any free port; a host of None means loopback.
HOST_SETTING: Final = "worker_metrics_host"
PORT_SETTING: Final = "worker_metrics_port"
_LOOPBACK: Final = "127.0.0.1"


def connect_worker_delays(queues: Sequence[str]) -> None:
    """Connect the receivers of a worker; called once, when the app is made. `queues` are told apart."""

    def begin(sender: Any, **_: object) -> None:  # noqa: ANN401  # celery's WorkController
        # In the main process, before the pool is forked: its processes inherit the pipe.
        port = sender.app.conf.get(PORT_SETTING)
        if port is None:
            return
        delays = WorkerDelays(queues)
        server = worker_server(delays, host=str(sender.app.conf.get(HOST_SETTING) or _LOOPBACK), port=int(port))

        def begun(task: "Task[Any, Any]", **_: object) -> None:
            found = delays_of(task.request.headers or {}, present())
            if found is not None and not task.request.is_eager and not task.request.retries:
                queue = (task.request.delivery_info or {}).get("routing_key")
                delays.begun(str(queue), start_delay_ms=found[0], end_to_end_ms=found[1])

        def serve(**_: object) -> None:
            delays.pipe.take_in_thread()
            server.start()

        signals.task_prerun.connect(begun, weak=False)
        signals.worker_ready.connect(serve, weak=False)
        signals.worker_shutdown.connect(lambda **_: server.stop(), weak=False)

    signals.worker_init.connect(begin, weak=False)


def delays_of(headers: Mapping[str, Any], now: int) -> tuple[int, int] | None:
    """How long ago, in milliseconds, a message was published, and was planned to be; None if it is not beat's."""
    published_at, planned_for = (instant_of(headers.get(name)) for name in ("beat_published_at", "planned_for"))
    if not headers.get("beat_job") or published_at is None or planned_for is None:
        return None
    return now - published_at, now - planned_for
