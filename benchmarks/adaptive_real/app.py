"""The Celery app of a real run, for beat and for the workers: production's configuration, and tasks that sleep.

A run takes as long, and fails or not, as the same run does in the laboratory.
"""

import os
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import redis
from celery import Celery, Task

from benchmarks.adaptive_real.run import APP, SEED, STARTS, Start, present, scenario_in, this_run
from packages.catalogue.queues import QUEUES, Profile
from packages.infra.connections import resolve_connections
from packages.infra.queue.configuration import celery_configuration
from packages.infra.queue.entries import beat_entries
from packages.infra.queue.profiles import profile_of, settings_of
from packages.infra.queue.redis_transport import use_mended_transport
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.simulation.draws import fails, service_ms
from packages.scheduling.simulation.job_groups import jobs_of
from packages.scheduling.simulation.scenario import JobGroup, Scenario

RUN: Final = this_run()


class ScenarioControl(NamedTuple):
    """The setting `beat_control`, which never changes."""

    policy: ControlPolicy
    prometheus_url: None = None


class ScenarioError(Exception):
    """The scenario has this run fail."""


def make_app(scenario: Scenario) -> Celery:
    """The app of this process's profile."""
    profile = profile_of(os.environ)
    settings = settings_of(profile, os.environ)
    use_mended_transport()
    app = Celery(APP, task_cls="packages.infra.queue.once:OnceTask")
    app.conf.update(celery_configuration(profile, settings, resolve_connections(settings, needs_database=False)))
    # No ports: another run, or the project itself, may have them.
    app.conf.update(include=(), beat_health_port=None, worker_metrics_port=None)
    if profile is Profile.BEAT:
        app.conf.beat_schedule = beat_entries(jobs_of(scenario), priorities=scenario.message_priorities)
        app.conf.beat_control = ScenarioControl(scenario.control)
    else:
        _make_worker(app, scenario)
    return app


def _make_worker(app: Celery, scenario: Scenario) -> None:
    """Give the app the tasks of the scenario, and have it tell what every worker of the project tells."""
    # Beat imports none of it.
    from packages.infra.queue.running_signals import connect_running_signals
    from packages.infra.queue.work_signals import connect_work_signals
    from packages.infra.queue.worker_delays import connect_worker_delays
    from packages.infra.queue.worker_reports import connect_worker_reports
    from packages.infra.queue.worker_signals import connect_worker_signals

    connect_work_signals()
    connect_worker_signals()
    connect_running_signals()
    connect_worker_delays([queue.name for queue in QUEUES])
    connect_worker_reports(database_url=None)
    groups = {job.name: group for job, group in jobs_of(scenario).items()}
    for name in {group.task for group in scenario.groups}:
        _add_task(app, name, groups)


def _add_task(app: Celery, name: str, groups: Mapping[str, JobGroup]) -> None:
    @app.task(name=name, bind=True)
    def sleep(self: "Task[..., None]") -> None:
        start = Start.of(self.request.headers or {}, began_at=present())
        _starts().rpush(STARTS, start.text())
        group = groups[start.job]
        time.sleep(service_ms(SEED, start.job, start.nominal, group.service) / SECOND_MS)
        if fails(SEED, start.job, start.nominal, group.failing):
            raise ScenarioError(f"{start.job} fails, as the scenario has it")


@cache
def _starts() -> redis.Redis:
    # In the process that runs the tasks: a connection must not cross a fork.
    return redis.Redis.from_url(RUN.starts_url)


celery_app = make_app(scenario_in(Path(RUN.scenario), begins=RUN.begins))
