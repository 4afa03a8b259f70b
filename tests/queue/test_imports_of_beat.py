"""What beat imports, and what it does not: it is to start soon, and to take up little."""

from pathlib import Path

import pytest
import redis

from packages.shared_settings.beat import BeatSettings
from tests.queue.own_process import FLAGS, printed, without_settings


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return without_settings(tmp_path)


def test_beat_imports_no_job_body_and_nothing_heavy(environ: dict[str, str], redis_url: str) -> None:
    code = """
import sys, time
from datetime import UTC, datetime, timedelta
from apps.beat.celery_app import celery_app
from packages.infra.beat.scheduler import AdaptiveScheduler
slept = timedelta(0)
class Sleeper(AdaptiveScheduler):
    monotonic = staticmethod(lambda: time.monotonic() + slept.total_seconds())
    wall_clock = staticmethod(lambda: datetime.now(UTC) + slept)
celery_app.loader.import_default_modules()
scheduler = Sleeper(celery_app)
scheduler.tick()
slept = timedelta(hours=25)
while scheduler.tick() == 0:
    pass
scheduler.close()
print(json.dumps(sorted(sys.modules)))"""
    # A few fires each: thousands of missed ones are counted in arrays.
    periods = {"_INTERVAL_SECONDS": "7200", "_INTERVAL_MINUTES": "120"}
    of_jobs = BeatSettings.variables() - {"CONTROL_INTERVAL_SECONDS"}
    given = {name: value for name in of_jobs for end, value in periods.items() if name.endswith(end)}
    always = {**dict.fromkeys(FLAGS, "true"), "TRADING_HOURS_MARKETS": "24/7"}
    modules = printed(code, {**environ, **given, **always, "REDIS_URL": redis_url})
    with redis.Redis.from_url(redis_url) as client:
        # It has published, too: the fire that each job owes.
        lists = ("maintenance", "maintenance\x06\x166", "paper_trading", "market_data\x06\x163")
        assert {name: client.llen(name) for name in lists} == {
            "maintenance": 1,
            "maintenance\x06\x166": 2,
            "paper_trading": 1,
            "market_data\x06\x163": 1,
        }
    tops = {module.partition(".")[0] for module in modules}
    heavy = {"sqlalchemy", "psycopg", "apprise", "alpaca", "alembic", "typer", "rich", "honcho"}
    slow = {"numpy", "pandas", "exchange_calendars", "croniter"}
    assert tops & (heavy | slow) == set()
    not_for_beat = ("packages.domain", "packages.infra.queue.tasks", "packages.infra.embedded")
    assert [module for module in modules if module.startswith(not_for_beat)] == []


@pytest.mark.parametrize("given", [{}, {"PYDANTIC_DISABLE_PLUGINS": "logfire-plugin"}])
def test_what_beat_imports_is_never_searched_for_garbage(environ: dict[str, str], given: dict[str, str]) -> None:
    code = """
import gc, os
from apps.beat.celery_app import celery_app
print(json.dumps([gc.isenabled(), gc.get_freeze_count() > 0, os.environ["PYDANTIC_DISABLE_PLUGINS"]]))"""
    plugins = given.get("PYDANTIC_DISABLE_PLUGINS", "__all__")
    assert printed(code, {**environ, **given}) == [True, True, plugins]


def test_beat_parses_no_objectives_where_there_are_none(environ: dict[str, str]) -> None:
    code = """
import sys
import apps.beat.celery_app
print(json.dumps(sorted({"tomllib", "packages.infra.objectives"} & set(sys.modules))))"""
    assert printed(code, environ) == []
    given = {**environ, "SLO_OBJECTIVES_FILE": "env/objectives.example.toml"}
    assert printed(code, {**given, "SLO_GATE": "off"}) == []
    assert printed(code, given) == ["packages.infra.objectives", "tomllib"]
