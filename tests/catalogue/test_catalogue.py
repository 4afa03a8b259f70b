"""The catalogue: what each flag turns on, and what a broken entry says."""

import pytest

from packages.catalogue.checks import CatalogueError, check_catalogue
from packages.catalogue.jobs import JOBS, JobDefinition, enabled_jobs
from packages.catalogue.queues import QUEUES, Profile, queues_of
from packages.scheduling.triggers.one_off import OneOff
from packages.shared_settings.beat import BeatSettings

FLAGS = {
    "postgres_backup_enabled": {"maintenance.backup_postgres_full"},
    "user_email_csv_export_enabled": {"maintenance.export_user_emails_csv"},
    "backtest_stale_job_cleanup_enabled": {"maintenance.fail_stale_backtest_jobs"},
    "paper_trading_enabled": {"paper_trading.scheduler_tick", "market_data.refresh_active_subscriptions"},
    "notifications_enabled": {"notifications.dispatch_pending"},
    "trading_approval_enabled": {"trade_approval.expire_pending"},
}


def test_the_catalogue_agrees_with_itself() -> None:
    check_catalogue()


def test_without_flags_there_is_no_job() -> None:
    assert enabled_jobs(BeatSettings()) == ()


@pytest.mark.parametrize(("flag", "jobs"), FLAGS.items())
def test_each_flag_alone_gives_exactly_its_jobs(flag: str, jobs: set[str]) -> None:
    assert {job.name for job in enabled_jobs(BeatSettings.model_validate({flag: True}))} == jobs


def test_all_flags_give_all_jobs() -> None:
    settings = BeatSettings.model_validate(dict.fromkeys(FLAGS, True))
    assert [job.name for job in enabled_jobs(settings)] == [job.name for job in JOBS]


def test_each_queue_is_served_by_one_worker() -> None:
    assert queues_of(Profile.CPU) == ("backtest", "stress")
    assert queues_of(Profile.BEAT) == ()
    assert sorted(queues_of(Profile.CPU) + queues_of(Profile.IO)) == sorted(queue.name for queue in QUEUES)
    assert sorted(queues_of(Profile.ALL)) == sorted(queue.name for queue in QUEUES)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"queue": "nowhere"}, "unknown queue 'nowhere'"),
        ({"flag": "no_such_flag"}, "its flag 'no_such_flag'"),
        ({"flag": "postgres_backup_hour_utc"}, "its flag 'postgres_backup_hour_utc'"),
        ({"name": "backup"}, "job backup: a name is area.task"),
        ({"name": "area.backup"}, "job area.backup: BeatSettings has no field 'area_backup_policy' for its policies"),
    ],
)
def test_a_broken_entry_is_named(change: dict[str, str], said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        check_catalogue([JOBS[0]._replace(**change)])  # type: ignore[arg-type]  # fields of text only


def test_a_field_of_policies_without_its_job_is_named() -> None:
    with pytest.raises(CatalogueError, match="field trade_approval_expire_pending_policy of BeatSettings: there is no"):
        check_catalogue([job for job in JOBS if job.name != "trade_approval.expire_pending"])


def test_two_jobs_may_not_share_a_field_of_policies() -> None:
    with pytest.raises(CatalogueError, match="field paper_trading_scheduler_tick_policy of BeatSettings: 2 jobs share"):
        check_catalogue([*JOBS, JOBS[3]._replace(name="paper.trading_scheduler_tick")])


def test_a_name_given_twice_is_named() -> None:
    with pytest.raises(CatalogueError, match="given 2 times"):
        check_catalogue([JOBS[0], JOBS[0]])


def test_a_trigger_without_a_period_needs_an_expiry() -> None:
    definition: JobDefinition = JOBS[1]._replace(trigger=lambda _: OneOff(0))
    with pytest.raises(ValueError, match="needs expires_after"):
        definition.job(BeatSettings())
