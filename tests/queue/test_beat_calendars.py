"""The calendars of beat: what the policies name is opened, what cannot be is refused at start-up and only then."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from packages.catalogue.jobs import enabled_jobs
from packages.infra.queue.beat_calendars import BeatCalendars, markets_of, open_calendars
from packages.scheduling.instants import to_instant
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.errors import SettingsError
from packages.shared_settings.layers import ROOT

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def var_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that a calendar is compiled once."""
    return tmp_path_factory.mktemp("var")


def settings(var_dir: Path, **fields: Any) -> BeatSettings:  # noqa: ANN401  # values of settings
    given = {"paper_trading_enabled": True, "trading_hours_markets": "24/7", "minsy_var_dir": var_dir, **fields}
    return BeatSettings.model_validate(given)


def refused(settings: BeatSettings) -> tuple[str, str]:
    with pytest.raises(SettingsError) as caught:
        BeatCalendars(settings).open(NOW)
    (problem,) = caught.value.problems
    return problem.variable, problem.problem


def test_the_markets_are_those_that_any_policy_names(var_dir: Path) -> None:
    given = settings(
        var_dir,
        notifications_enabled=True,
        notifications_dispatch_pending_policy={"windows": "outside XLON"},
        paper_trading_scheduler_tick_policy={"trading_hours_markets": ["XTKS"]},
    )
    assert markets_of(enabled_jobs(given)) == {"24/7", "XLON", "XTKS"}


def test_they_are_opened_and_kept(var_dir: Path) -> None:
    given = settings(var_dir)
    assert set(open_calendars(given, enabled_jobs(given), now=NOW).tables) == {"24/7"}
    calendars = BeatCalendars(given)
    calendars.open(NOW)
    assert calendars({"24/7"}, NOW) is calendars({"24/7"}, NOW)
    assert calendars({"24/7"}, NOW).tables["24/7"].is_open(to_instant(NOW))


def test_without_a_job_that_needs_one_nothing_is_compiled(tmp_path: Path) -> None:
    given = settings(tmp_path, paper_trading_enabled=False)
    assert open_calendars(given, enabled_jobs(given), now=NOW).tables == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "variable"),
    [
        ({"trading_hours_markets": "XNYZ"}, "TRADING_HOURS_MARKETS"),
        (
            {"paper_trading_scheduler_tick_policy": {"trading_hours_markets": ["XNYZ"]}},
            "PAPER_TRADING_SCHEDULER_TICK_POLICY",
        ),
        ({"paper_trading_scheduler_tick_policy": {"windows": "outside XNYZ"}}, "PAPER_TRADING_SCHEDULER_TICK_POLICY"),
    ],
)
def test_a_market_without_a_calendar_is_refused_by_its_variable(
    var_dir: Path, fields: dict[str, Any], variable: str
) -> None:
    named, problem = refused(settings(var_dir, **fields))
    assert named == variable
    assert "no calendar for the market 'XNYZ'; did you mean" in problem


def test_overrides_that_cannot_be_used_are_refused(var_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[XNYS]\nclosd = [2026-11-27]\n")
    variable, problem = refused(settings(var_dir, calendar_overrides_file=file))
    assert variable == "CALENDAR_OVERRIDES_FILE"
    assert "own.toml: [XNYS] closd" in problem


def test_a_running_beat_is_not_ended_by_a_market_nor_by_a_file(
    var_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[XNYS]\nclosd = [2026-11-27]\n")
    calendars = BeatCalendars(settings(var_dir, calendar_overrides_file=file))({"XNYZ"}, NOW)
    assert calendars.tables == {}
    assert [record.message for record in caplog.records] == ["calendar_overrides_refused"]
    calendars.close()


def test_beat_refuses_in_one_line(var_dir: Path, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    ours = {
        "MINSY_ENV_DIR": str(tmp_path),
        "MINSY_VAR_DIR": str(var_dir),
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "PAPER_TRADING_ENABLED": "true",
        "TRADING_HOURS_MARKETS": "XNYZ",
    }
    command = [sys.executable, "-m", "celery", "-A", "apps.beat.celery_app", "beat"]
    done = subprocess.run(
        command, env={**kept, **ours}, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("TRADING_HOURS_MARKETS in the process environment: there is no calendar for")
    assert done.stderr.count("\n") == 1
