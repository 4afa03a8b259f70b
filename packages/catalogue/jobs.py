"""The one list of jobs. Adding a job is an entry here, its settings fields, and its body.

An entry says which flag turns the job on and which settings make its trigger; what the job does stands in
`packages.domain`, and the Celery task of the same name in `packages.infra.queue.tasks`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from packages.scheduling.model import Criticality, DailyTrigger, IntervalTrigger, Job, Trigger
from packages.shared_settings.beat import BeatSettings

# A tick that no worker took within two periods is replaced by the one behind it, so a queue without a worker
# holds at most this many ticks of a job.
PERIODS_WORTH_KEEPING = 2


@dataclass(frozen=True)
class JobDefinition:
    """A job before the settings are known. `flag` is the boolean field of `BeatSettings` that turns it on.

    `expires_after` None means two periods of its interval.
    """

    name: str
    queue: str
    flag: str
    trigger: Callable[[BeatSettings], Trigger]
    criticality: Criticality
    expires_after: timedelta | None = None

    def enabled(self, settings: BeatSettings) -> bool:
        """Whether the settings turn this job on."""
        return bool(getattr(settings, self.flag))

    def job(self, settings: BeatSettings) -> Job:
        """The job with the trigger that the settings give it.

        Raises:
            ValueError: the job has neither an interval nor `expires_after`.
        """
        trigger = self.trigger(settings)
        expires_after = self.expires_after
        if expires_after is None:
            if not isinstance(trigger, IntervalTrigger):
                raise ValueError(f"job {self.name}: a trigger without a period needs expires_after")
            expires_after = PERIODS_WORTH_KEEPING * trigger.period
        return Job(
            name=self.name,
            task=self.name,
            trigger=trigger,
            queue=self.queue,
            criticality=self.criticality,
            expires_after=expires_after,
        )


JOBS = (
    JobDefinition(
        name="maintenance.backup_postgres_full",
        queue="maintenance",
        flag="postgres_backup_enabled",
        trigger=lambda s: DailyTrigger(hour=s.postgres_backup_hour_utc, minute=s.postgres_backup_minute_utc),
        criticality=Criticality.CRITICAL,
        expires_after=timedelta(hours=12),
    ),
    JobDefinition(
        name="maintenance.export_user_emails_csv",
        queue="maintenance",
        flag="user_email_csv_export_enabled",
        trigger=lambda s: IntervalTrigger(timedelta(minutes=s.user_email_csv_export_interval_minutes)),
        criticality=Criticality.SHEDDABLE,
    ),
    JobDefinition(
        name="maintenance.fail_stale_backtest_jobs",
        queue="maintenance",
        flag="backtest_stale_job_cleanup_enabled",
        trigger=lambda s: IntervalTrigger(timedelta(minutes=s.backtest_stale_job_cleanup_interval_minutes)),
        criticality=Criticality.SHEDDABLE,
    ),
    JobDefinition(
        name="paper_trading.scheduler_tick",
        queue="paper_trading",
        flag="paper_trading_enabled",
        trigger=lambda s: IntervalTrigger(timedelta(seconds=s.paper_trading_loop_interval_seconds)),
        criticality=Criticality.CRITICAL,
    ),
    JobDefinition(
        name="market_data.refresh_active_subscriptions",
        queue="market_data",
        flag="paper_trading_enabled",
        trigger=lambda s: IntervalTrigger(
            timedelta(seconds=s.market_data_refresh_active_subscriptions_interval_seconds)
        ),
        criticality=Criticality.SHEDDABLE_PLUS,
    ),
    JobDefinition(
        name="notifications.dispatch_pending",
        queue="notifications",
        flag="notifications_enabled",
        trigger=lambda s: IntervalTrigger(timedelta(seconds=s.notifications_loop_interval_seconds)),
        criticality=Criticality.CRITICAL_PLUS,
    ),
    JobDefinition(
        name="trade_approval.expire_pending",
        queue="trade_approval",
        flag="trading_approval_enabled",
        trigger=lambda s: IntervalTrigger(timedelta(seconds=s.trading_approval_expire_scan_interval_seconds)),
        criticality=Criticality.CRITICAL_PLUS,
    ),
)


def enabled_jobs(settings: BeatSettings) -> tuple[Job, ...]:
    """The jobs that the settings turn on, in the order of the catalogue."""
    return tuple(definition.job(settings) for definition in JOBS if definition.enabled(settings))
