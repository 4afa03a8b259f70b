"""The policies of the jobs: what the catalogue gives, what a setting changes, which contradictions are refused."""

from pathlib import Path
from typing import Any

import pytest

from packages.catalogue.jobs import JOBS, enabled_jobs
from packages.scheduling.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from packages.scheduling.model import Job
from packages.scheduling.policies import (
    CatchUp,
    CatchUpMode,
    GateMode,
    OverlapMode,
    TradingHours,
    UnknownDates,
)
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.windows import parse_windows
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.errors import SettingsError
from packages.shared_settings.layers import ROOT
from packages.shared_settings.loading import load
from packages.shared_settings.policies import PolicyOverrides

BACKUP = "maintenance.backup_postgres_full"
EXPORT = "maintenance.export_user_emails_csv"
TICK = "paper_trading.scheduler_tick"
REFRESH = "market_data.refresh_active_subscriptions"
NOTIFY = "notifications.dispatch_pending"
HEAVY = {BACKUP, EXPORT, REFRESH}
GATED = {TICK, REFRESH}


def jobs(**fields: Any) -> dict[str, Job]:  # noqa: ANN401  # values of settings
    flags = {definition.flag: True for definition in JOBS}
    return {job.name: job for job in enabled_jobs(BeatSettings.model_validate({**flags, **fields}))}


def overridden(name: str, **keys: Any) -> Job:  # noqa: ANN401  # values of keys
    return jobs(**{f"{name.replace('.', '_')}_policy": keys})[name]


def refused(name: str, **keys: Any) -> str:  # noqa: ANN401  # values of keys
    with pytest.raises(SettingsError) as caught:
        overridden(name, **keys)
    (problem,) = caught.value.problems
    assert problem.variable == f"{name.replace('.', '_').upper()}_POLICY"
    return problem.problem


@pytest.mark.parametrize(
    ("seconds", "jitter_ms"), [(1, 100), (60, 6 * SECOND_MS), (300, 30 * SECOND_MS), (86_400, 30 * SECOND_MS)]
)
def test_an_interval_has_a_jitter_of_a_tenth_but_no_more_than_half_a_minute(seconds: int, jitter_ms: int) -> None:
    job = jobs(notifications_loop_interval_seconds=seconds)[NOTIFY]
    assert job.policies.jitter_ms == jitter_ms
    assert job.expires_ms == 2 * seconds * SECOND_MS


def test_the_backup_is_made_up_for_within_a_day_and_starts_within_a_minute() -> None:
    backup = jobs()[BACKUP]
    assert backup.policies.jitter_ms == MINUTE_MS
    assert backup.policies.catch_up == CatchUp(CatchUpMode.LATEST, DAY_MS)
    assert backup.expires_ms == 12 * HOUR_MS


def test_a_sweep_owes_one_fire_for_as_long_as_its_message_would_live() -> None:
    sweeps = [job for job in jobs().values() if job.name != BACKUP]
    assert {job.policies.catch_up.mode for job in sweeps} == {CatchUpMode.LATEST}
    assert [job.policies.catch_up.window_ms for job in sweeps] == [job.expires_ms for job in sweeps]
    assert jobs()[EXPORT].policies.catch_up.window_ms == 2 * HOUR_MS


def test_only_heavy_jobs_wait_for_their_earlier_run() -> None:
    assert {name for name, job in jobs().items() if job.policies.overlap is OverlapMode.SKIP} == HEAVY
    assert {job.policies.overlap for name, job in jobs().items() if name not in HEAVY} == {OverlapMode.ALLOW}


def test_two_jobs_work_in_trading_hours_only() -> None:
    given = {name: job.policies.trading_hours for name, job in jobs().items() if job.policies.trading_hours}
    hours = TradingHours(markets=("XNYS",), before_ms=5 * MINUTE_MS, after_ms=15 * MINUTE_MS)
    assert given == dict.fromkeys(GATED, hours)


def test_the_trading_hours_follow_the_settings() -> None:
    changed = jobs(
        trading_hours_gate="observe",
        trading_hours_markets="XLON,24/7",
        trading_hours_margin_before_minutes=0,
        trading_hours_margin_after_minutes=1,
        trading_hours_unknown_dates="fail_closed",
    )
    assert changed[TICK].policies.trading_hours == TradingHours(
        markets=("XLON", "24/7"), after_ms=MINUTE_MS, unknown=UnknownDates.FAIL_CLOSED, mode=GateMode.OBSERVE
    )


def test_an_override_of_the_trading_hours_wins_over_the_settings() -> None:
    job = overridden(
        TICK,
        trading_hours="off",
        trading_hours_markets=["XTKS"],
        trading_hours_margin_before_minutes=0,
        trading_hours_margin_after_minutes=0,
        unknown_dates="fail_closed",
    )
    assert job.policies.trading_hours == TradingHours(
        markets=("XTKS",), unknown=UnknownDates.FAIL_CLOSED, mode=GateMode.OFF
    )


def test_any_job_can_be_given_trading_hours() -> None:
    hours = overridden(NOTIFY, trading_hours="enforce").policies.trading_hours
    assert hours == jobs()[TICK].policies.trading_hours


def test_every_policy_can_be_overridden() -> None:
    policies = overridden(
        NOTIFY,
        jitter_seconds=0.25,
        catch_up="all",
        catch_up_window_minutes=90,
        catch_up_limit=7,
        max_staleness_minutes=30,
        overlap="cancel_other",
    ).policies
    assert policies.jitter_ms == 250
    assert policies.catch_up == CatchUp(CatchUpMode.ALL, 90 * MINUTE_MS, 7)
    assert policies.max_staleness_ms == policies.stale_after_ms == 30 * MINUTE_MS
    assert policies.overlap is OverlapMode.CANCEL_OTHER


def test_an_override_leaves_the_other_jobs_and_policies_alone() -> None:
    changed = jobs(notifications_dispatch_pending_policy={"overlap": "skip"})
    assert {name for name, job in jobs().items() if changed[name] != job} == {NOTIFY}
    assert changed[NOTIFY].policies.jitter_ms == jobs()[NOTIFY].policies.jitter_ms


def test_no_jitter_is_a_jitter_of_zero() -> None:
    assert overridden(NOTIFY, jitter_seconds=0).policies.jitter_ms == 0


def test_catching_up_on_all_reaches_back_a_day_unless_told() -> None:
    assert overridden(NOTIFY, catch_up="all").policies.catch_up == CatchUp(CatchUpMode.ALL, DAY_MS, 100)
    assert overridden(NOTIFY, catch_up="skip").policies.catch_up.mode is CatchUpMode.SKIP


def test_a_window_is_the_one_that_its_text_says() -> None:
    text = "22:00-06:00 America/New_York"
    assert overridden(EXPORT, windows=text).policies.windows == parse_windows(text)
    observed = overridden(EXPORT, windows="outside XNYS", windows_gate="observe", unknown_dates="fail_closed")
    assert observed.policies.windows is not None
    assert observed.policies.windows.outside_sessions_of == ("XNYS",)
    assert observed.policies.windows.mode is GateMode.OBSERVE
    assert observed.policies.windows.unknown is UnknownDates.FAIL_CLOSED


def test_a_spread_interval_keeps_its_period_on_a_grid_of_its_own() -> None:
    plain, spread = jobs()[NOTIFY].trigger, overridden(NOTIFY, spread=True).trigger
    assert isinstance(plain, IntervalTrigger)
    assert spread == plain.spread_by(NOTIFY)
    assert spread != plain
    assert overridden(NOTIFY, spread=False).trigger == plain


def test_an_interval_with_a_phase_keeps_its_period_on_a_shifted_grid() -> None:
    assert overridden(NOTIFY, phase_seconds=2.5).trigger == IntervalTrigger(15 * SECOND_MS, 2500)
    assert overridden(NOTIFY, phase_seconds=0, spread=False).trigger == jobs()[NOTIFY].trigger


def test_the_document_has_the_policies_of_each_job() -> None:
    lines = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8").splitlines()
    rows = {cells[1].strip(" `"): cells for cells in (line.split("|") for line in lines) if len(cells) == 7}
    words = {OverlapMode.SKIP: "skipped", OverlapMode.ALLOW: "both run"}
    for name, job in jobs().items():
        _, _, jitter, missed, overlap, hours, _ = (cell.strip() for cell in rows[name])
        assert jitter == f"up to {job.policies.jitter_ms / SECOND_MS:g} s"
        assert missed.startswith(f"the {job.policies.catch_up.mode}")
        assert overlap == words[job.policies.overlap]
        assert hours == ("yes" if job.policies.trading_hours else "no")


def test_the_document_has_every_key() -> None:
    text = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
    assert [key for key in PolicyOverrides.model_fields if f"`{key}`" not in text] == []


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        (NOTIFY, {"jitter_seconds": 15}, "jitter_seconds 15 is not below the period, 15 s"),
        (NOTIFY, {"catch_up_limit": 5}, "catch_up_limit goes with the catch_up all, not with latest"),
        (NOTIFY, {"catch_up": "skip", "catch_up_window_minutes": 5}, "catch_up_window_minutes goes with"),
        (NOTIFY, {"trading_hours_markets": ["XNYS"]}, "trading_hours_markets needs trading_hours"),
        (NOTIFY, {"trading_hours_margin_after_minutes": 1}, "trading_hours_margin_after_minutes needs trading_hours"),
        (NOTIFY, {"unknown_dates": "fail_open"}, "unknown_dates needs trading_hours or windows"),
        (NOTIFY, {"windows_gate": "observe"}, "windows_gate needs windows"),
        (BACKUP, {"spread": True}, "spread is for jobs with an interval"),
        (BACKUP, {"phase_seconds": 5}, "phase_seconds is for jobs with an interval"),
        (NOTIFY, {"phase_seconds": 15}, "phase_seconds 15 is not below the period, 15 s"),
        (NOTIFY, {"phase_seconds": 0, "spread": True}, "phase_seconds and spread each give"),
        (EXPORT, {"windows": "at night"}, "at night"),
        (EXPORT, {"windows": "22:00-06:00 Mars/Olympus"}, "Mars/Olympus"),
    ],
)
def test_a_contradiction_is_refused_by_name(name: str, keys: dict[str, Any], said: str) -> None:
    problem = refused(name, **keys)
    assert said in problem
    assert "\n" not in problem


def test_what_the_catalogue_refuses_names_the_file_too(tmp_path: Path) -> None:
    file = tmp_path / ".env.dev.beat"
    file.write_text(
        'MAINTENANCE_EXPORT_USER_EMAILS_CSV_POLICY={"windows": "at night"}\n'
        'NOTIFICATIONS_DISPATCH_PENDING_POLICY={"catch_up_limit": 5}\n'
    )
    settings = load(BeatSettings, {"MINSY_ENV_DIR": str(tmp_path)})
    with pytest.raises(SettingsError) as caught:
        # Neither job is turned on: what would be wrong then is said now.
        enabled_jobs(settings)
    assert [problem.variable for problem in caught.value.problems] == [
        "MAINTENANCE_EXPORT_USER_EMAILS_CSV_POLICY",
        "NOTIFICATIONS_DISPATCH_PENDING_POLICY",
    ]
    assert {problem.source for problem in caught.value.problems} == {str(file)}
