"""Celery's configuration as a mapping, made from the settings and the connections. No process is configured here."""

import ssl
from collections.abc import Mapping
from typing import Any, Final

from kombu import Queue

from packages.catalogue.queues import QUEUES, Profile
from packages.infra.connections import REDIS_URL_PREFIXES, Connections
from packages.infra.queue.profiles import task_modules
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.common import CommonSettings
from packages.shared_settings.workers import WorkerCpuSettings, WorkerIoSettings

# A name that never resolves (RFC 2606): without a server nothing may be published to a default address by accident.
NO_SERVER_URL = "redis://no-server-is-configured.invalid:6379/0"
# A task `area.what` goes to the queue `area`; another task to the default queue. As patterns, and not as a function:
# what is published often is then cut out of one message instead of being built each time.
ROUTES: Final = {pattern: {"queue": queue.name} for queue in QUEUES for pattern in (queue.name, f"{queue.name}.*")}


def celery_configuration(profile: Profile, settings: CommonSettings, connections: Connections) -> dict[str, Any]:
    """The whole configuration of the Celery app, but for the beat schedule.

    Durations are in seconds. JSON is the only serializer. A message is acknowledged after its task, and goes back
    to its queue when the worker process is lost.
    """
    broker_url = connections.broker_url or NO_SERVER_URL
    result_backend = connections.result_backend if connections.broker_url else NO_SERVER_URL
    if profile is Profile.BEAT:
        # Beat waits for no result; with a backend Celery would subscribe to each one before it publishes.
        result_backend = "disabled://"
    configuration: dict[str, Any] = {
        "broker_url": broker_url,
        "result_backend": result_backend,
        "include": task_modules(profile),
        "timezone": "UTC",
        "enable_utc": True,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_queues": [Queue(queue.name, routing_key=queue.name) for queue in QUEUES],
        "task_routes": ROUTES,
        "task_default_queue": "maintenance",
        "task_default_exchange": "minsy",
        "task_create_missing_queues": False,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure_or_timeout": True,
        "task_track_started": True,
        "task_time_limit": settings.celery_task_time_limit_seconds,
        "task_soft_time_limit": settings.celery_task_soft_time_limit_seconds,
        "result_expires": settings.celery_result_expires_seconds,
        "result_extended": True,
        "broker_connection_retry_on_startup": True,
        # A worker that lost its broker keeps trying; the supervisor decides when to give up.
        "broker_connection_max_retries": None,
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_send_task_events": True,
        "beat_scheduler": "packages.infra.beat.scheduler:AdaptiveScheduler",
        # Beat wakes at least this often, and so notices a clock that was set back.
        "beat_max_loop_interval": 5,
    }
    if isinstance(settings, BeatSettings):
        configuration["beat_health_host"] = settings.beat_health_host
        configuration["beat_health_port"] = settings.beat_health_port
    if isinstance(settings, WorkerIoSettings):
        configuration["worker_concurrency"] = settings.worker_io_concurrency
        configuration["worker_max_tasks_per_child"] = settings.worker_io_max_tasks_per_child
        configuration["worker_metrics_host"] = settings.worker_io_metrics_host
        configuration["worker_metrics_port"] = settings.worker_io_metrics_port
    if isinstance(settings, WorkerCpuSettings):
        configuration["worker_concurrency"] = settings.worker_cpu_concurrency
        configuration["worker_max_tasks_per_child"] = settings.worker_cpu_max_tasks_per_child
        configuration["worker_metrics_host"] = settings.worker_cpu_metrics_host
        configuration["worker_metrics_port"] = settings.worker_cpu_metrics_port
    return {**configuration, **_redis_options(broker_url, result_backend, settings)}


def state_configuration(settings: BeatSettings) -> dict[str, Any]:
    """Where beat keeps what it knows if the broker is no Redis; of beat, and of commands that read it."""
    url = settings.beat_state_url
    if url is None:
        return {}
    # As a secret: the configuration may be printed.
    return {"beat_state_url": url, "beat_state_use_ssl": _tls_options(settings)}


def _redis_options(broker_url: str, result_backend: str | None, settings: CommonSettings) -> Mapping[str, Any]:
    options: dict[str, Any] = {}
    if broker_url.startswith(REDIS_URL_PREFIXES):
        options["broker_transport_options"] = {
            "visibility_timeout": settings.celery_visibility_timeout_seconds,
            "socket_keepalive": True,
            "socket_timeout": 30,
            "health_check_interval": 25,
        }
    tls = _tls_options(settings)
    if broker_url.startswith("rediss://"):
        options["broker_use_ssl"] = tls
    if result_backend is not None and result_backend.startswith("rediss://"):
        options["redis_backend_use_ssl"] = tls
    return options


def _tls_options(settings: CommonSettings) -> dict[str, Any]:
    tls: dict[str, Any] = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    return tls if settings.redis_tls_ca_file is None else {**tls, "ssl_ca_certs": str(settings.redis_tls_ca_file)}
