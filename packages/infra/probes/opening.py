"""Opens the probe of an app: by its broker, and by where its workers tell of themselves."""

import logging

from celery import Celery

from packages.infra.probes.objective_source import ObjectiveSource
from packages.infra.probes.probe import Probe
from packages.infra.probes.work import Work
from packages.infra.queue.broker_redis import TIMEOUT, BrokerRedis
from packages.infra.queue.work_counts import WorkCounts
from packages.infra.queue.worker_heartbeats import WorkerHeartbeats

log = logging.getLogger(__name__)


def open_probe(
    app: Celery, redis: BrokerRedis | None, *, interval_ms: int, judge: ObjectiveSource | None = None
) -> Probe:
    """A probe that is to be closed; connects to nothing yet. `redis` is where beat keeps its state, None if nowhere."""
    if redis is not None and redis.is_broker:
        from packages.infra.probes.redis_probe import RedisProbe

        return RedisProbe(redis, _work(redis), interval_ms=interval_ms, judge=judge)
    from packages.infra.probes.declared import DeclaredQueues
    from packages.infra.probes.kombu_probe import KombuProbe, WorkAt
    from packages.infra.queue.time_limits import limit_waiting

    # Of its own: what RabbitMQ holds back while it is full is what comes from connections that publish.
    connection = app.connection_for_write()
    limit_waiting(connection, TIMEOUT.total_seconds())
    if redis is None:
        log.warning(
            "only_lengths_are_known",
            extra={"reason": "no Redis where workers could tell how they do: queues are judged by their length"},
        )
    work = None if redis is None else WorkAt(redis, _work(redis))
    return KombuProbe(DeclaredQueues(connection), work, interval_ms=interval_ms, judge=judge)


def _work(redis: BrokerRedis) -> Work:
    return Work(WorkCounts(redis), WorkerHeartbeats(redis))
