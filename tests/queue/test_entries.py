"""The entries of the catalogue's jobs: what they ask of the broker, and where they say how urgent a message is."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from packages.catalogue.jobs import enabled_jobs
from packages.infra.queue.entries import beat_entries, beat_entry, takes_priorities
from packages.infra.queue.reload import EnvFilesSource
from packages.scheduling.model import Criticality, Job
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.loading import load

ON = "USER_EMAIL_CSV_EXPORT_ENABLED=true\nPAPER_TRADING_ENABLED=true\nNOTIFICATIONS_ENABLED=true\n"
OF_CATALOGUE = {
    "maintenance.export_user_emails_csv": 6,
    "market_data.refresh_active_subscriptions": 3,
    "notifications.dispatch_pending": None,
    "paper_trading.scheduler_tick": None,
}


@pytest.mark.parametrize(
    ("criticality", "priority"),
    [
        (Criticality.CRITICAL_PLUS, {}),
        (Criticality.CRITICAL, {}),
        (Criticality.SHEDDABLE_PLUS, {"priority": 3}),
        (Criticality.SHEDDABLE, {"priority": 6}),
    ],
)
def test_what_is_less_critical_lets_others_go_first(criticality: Criticality, priority: dict[str, int]) -> None:
    job = Job("a", "area.a", IntervalTrigger(1_000), "area", criticality, expires_ms=2_500)
    options = {"queue": "area", "expires": 2.5}
    assert beat_entry(job, priorities=True)["options"] == {**options, **priority}
    assert beat_entry(job, priorities=False)["options"] == options


@pytest.mark.parametrize(
    ("url", "takes"),
    [
        (None, True),
        ("redis://host/0", True),
        ("rediss://host/0", True),
        ("amqp://host//", False),
        ("amqps://host//", False),
    ],
)
def test_only_a_redis_takes_priorities(url: str | None, *, takes: bool) -> None:
    settings = BeatSettings(
        celery_broker_url=None if url is None else SecretStr(url), redis_url=SecretStr("redis://state/0")
    )
    assert takes_priorities(settings) is takes


@pytest.mark.parametrize(
    ("before", "later"),
    [("", ""), ("", "CELERY_BROKER_URL=amqp://host//\n"), ("CELERY_BROKER_URL=amqp://host//\n", "")],
)
def test_a_reload_goes_by_the_broker_of_the_start(tmp_path: Path, before: str, later: str) -> None:
    environ = {"MINSY_ENV_DIR": str(tmp_path), "REDIS_URL": "redis://host/0"}
    file = tmp_path / ".env.dev.beat"
    file.write_text(f"{ON}{before}")
    source = EnvFilesSource(environ)
    settings = load(BeatSettings, environ)
    jobs = enabled_jobs(settings)
    source.begin(settings, jobs)
    begun = beat_entries(jobs, priorities=takes_priorities(settings))
    file.write_text(f"{ON}{later}")
    read = source.read()
    for entries in (begun, read):
        assert {name: entry["options"].get("priority") for name, entry in entries.items()} == (
            dict.fromkeys(OF_CATALOGUE) if before else OF_CATALOGUE
        )
