"""Where the pages are served is a setting of the app, out of the settings of its service."""

import pytest

from packages.catalogue.queues import Profile
from packages.infra.connections import Connections
from packages.infra.queue.configuration import celery_configuration
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.common import CommonSettings
from packages.shared_settings.workers import WorkerCpuSettings, WorkerIoSettings

NOWHERE = Connections(broker_url=None, result_backend=None, redis_url=None, database_url=None)


@pytest.mark.parametrize(
    ("profile", "settings", "given"),
    [
        (Profile.BEAT, BeatSettings(), {"beat_health_host": "127.0.0.1", "beat_health_port": 9810}),
        (
            Profile.BEAT,
            BeatSettings(beat_health_port="off"),
            {"beat_health_host": "127.0.0.1", "beat_health_port": None},
        ),
        (Profile.IO, WorkerIoSettings(), {"worker_metrics_host": "127.0.0.1", "worker_metrics_port": None}),
        (
            Profile.IO,
            WorkerIoSettings(worker_io_metrics_port=9811, worker_io_metrics_host="::"),
            {"worker_metrics_host": "::", "worker_metrics_port": 9811},
        ),
        (
            Profile.CPU,
            WorkerCpuSettings(worker_cpu_metrics_port=9812),
            {"worker_metrics_host": "127.0.0.1", "worker_metrics_port": 9812},
        ),
    ],
)
def test_it_is_passed_on(profile: Profile, settings: CommonSettings, given: dict[str, object]) -> None:
    configuration = celery_configuration(profile, settings, NOWHERE)
    assert {name: value for name, value in configuration.items() if "health" in name or "metrics" in name} == given
