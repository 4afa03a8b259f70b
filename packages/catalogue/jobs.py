"""The one list of jobs. Adding a job is an entry here, its settings fields, and its body.

An entry says which flag turns the job on, which settings make its trigger, and which policies hold unless a setting
overrides them; what the job does stands in `packages.domain`, and the Celery task of the same name in
`packages.infra.queue.tasks`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from packages.catalogue.policies import PolicyDefaults, policies_of
from packages.scheduling.instants import SECOND_MS, to_ms
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import OverlapMode, PolicyError
from packages.scheduling.triggers.base import Trigger
from packages.scheduling.triggers.cron import CronTrigger
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.errors import SettingProblem, SettingsError
from packages.shared_settings.policies import PolicyOverrides

# A tick that no worker took within two periods is replaced by the one behind it, so a queue without a worker
# holds at most this many ticks of a job.
PERIODS_WORTH_KEEPING = 2
_AS_USUAL = PolicyDefaults()


@dataclass(frozen=True, slots=True)
class DailyAt:
    """The trigger of a job that runs once a day, at the hour and minute in UTC that two fields of the settings say."""

    hour_field: str
    minute_field: str

    def __call__(self, settings: BeatSettings) -> CronTrigger:
        """The trigger that the settings give it."""
        hour, minute = (int(getattr(settings, field)) for field in (self.hour_field, self.minute_field))
        # From sets: beat's start would pay for a parser of expressions.
        return CronTrigger.of_sets(minutes={minute}, hours={hour}, zone="UTC")


class JobDefinition(NamedTuple):
    """A job before the settings are known. `flag` is the boolean field of `BeatSettings` that turns it on.

    `expires_after` None means two periods of its interval.
    """

    name: str
    queue: str
    flag: str
    trigger: Callable[[BeatSettings], Trigger]
    criticality: Criticality
    expires_after: timedelta | None = None
    policies: PolicyDefaults = _AS_USUAL

    @property
    def policy_field(self) -> str:
        """The field of `BeatSettings` that overrides policies of this job."""
        return f"{self.name.replace('.', '_')}_policy"

    def enabled(self, settings: BeatSettings) -> bool:
        """Whether the settings turn this job on."""
        return bool(getattr(settings, self.flag))

    def job(self, settings: BeatSettings) -> Job:
        """The job with the trigger and the policies that the settings give it.

        Raises:
            ValueError: the job has neither an interval nor `expires_after`.
            SettingsError: the overrides of its policies contradict each other or the job.
        """
        trigger = self.trigger(settings)
        period_ms = trigger.period_ms if isinstance(trigger, IntervalTrigger) else None
        if self.expires_after is not None:
            expires_ms = to_ms(self.expires_after)
        elif period_ms is not None:
            expires_ms = PERIODS_WORTH_KEEPING * period_ms
        else:
            raise ValueError(f"job {self.name}: a trigger without a period needs expires_after")
        overrides = getattr(settings, self.policy_field)
        try:
            policies = policies_of(
                self.policies, overrides, settings=settings, period_ms=period_ms, lifetime_ms=expires_ms
            )
            trigger = self._placed(trigger, overrides)
        except PolicyError as error:
            raise SettingsError(settings.problem_with(self.policy_field, str(error))) from None
        return Job(
            name=self.name,
            task=self.name,
            trigger=trigger,
            queue=self.queue,
            criticality=self.criticality,
            expires_ms=expires_ms,
            policies=policies,
        )

    def _placed(self, trigger: Trigger, overrides: PolicyOverrides) -> Trigger:
        """The trigger on the grid that the overrides ask for."""
        phase_s = overrides.phase_seconds
        if not overrides.spread and phase_s is None:
            return trigger
        if overrides.spread and phase_s is not None:
            raise PolicyError("phase_seconds and spread each give the interval a grid; one of them at most")
        if not isinstance(trigger, IntervalTrigger):
            raise PolicyError(f"{'spread' if phase_s is None else 'phase_seconds'} is for jobs with an interval")
        if phase_s is None:
            return trigger.spread_by(self.name)
        phase_ms = round(phase_s * SECOND_MS)
        if phase_ms >= trigger.period_ms:
            raise PolicyError(f"phase_seconds {phase_s:g} is not below the period, {trigger.period_ms / SECOND_MS:g} s")
        return IntervalTrigger(trigger.period_ms, phase_ms)


JOBS = (
    JobDefinition(
        name="maintenance.backup_postgres_full",
        queue="maintenance",
        flag="postgres_backup_enabled",
        trigger=DailyAt("postgres_backup_hour_utc", "postgres_backup_minute_utc"),
        criticality=Criticality.CRITICAL,
        expires_after=timedelta(hours=12),
        policies=PolicyDefaults(
            jitter=timedelta(minutes=1), catch_up_window=timedelta(hours=24), overlap=OverlapMode.SKIP
        ),
    ),
    JobDefinition(
        name="maintenance.export_user_emails_csv",
        queue="maintenance",
        flag="user_email_csv_export_enabled",
        trigger=lambda s: IntervalTrigger.every(timedelta(minutes=s.user_email_csv_export_interval_minutes)),
        criticality=Criticality.SHEDDABLE,
        policies=PolicyDefaults(overlap=OverlapMode.SKIP),
    ),
    JobDefinition(
        name="maintenance.fail_stale_backtest_jobs",
        queue="maintenance",
        flag="backtest_stale_job_cleanup_enabled",
        trigger=lambda s: IntervalTrigger.every(timedelta(minutes=s.backtest_stale_job_cleanup_interval_minutes)),
        criticality=Criticality.SHEDDABLE,
    ),
    JobDefinition(
        name="paper_trading.scheduler_tick",
        queue="paper_trading",
        flag="paper_trading_enabled",
        trigger=lambda s: IntervalTrigger.every(timedelta(seconds=s.paper_trading_loop_interval_seconds)),
        criticality=Criticality.CRITICAL,
        policies=PolicyDefaults(in_trading_hours=True),
    ),
    JobDefinition(
        name="market_data.refresh_active_subscriptions",
        queue="market_data",
        flag="paper_trading_enabled",
        trigger=lambda s: IntervalTrigger.every(
            timedelta(seconds=s.market_data_refresh_active_subscriptions_interval_seconds)
        ),
        criticality=Criticality.SHEDDABLE_PLUS,
        # A run may take five minutes, and two would ask the provider for the same bars.
        policies=PolicyDefaults(overlap=OverlapMode.SKIP, in_trading_hours=True),
    ),
    JobDefinition(
        name="notifications.dispatch_pending",
        queue="notifications",
        flag="notifications_enabled",
        trigger=lambda s: IntervalTrigger.every(timedelta(seconds=s.notifications_loop_interval_seconds)),
        criticality=Criticality.CRITICAL_PLUS,
    ),
    JobDefinition(
        name="trade_approval.expire_pending",
        queue="trade_approval",
        flag="trading_approval_enabled",
        trigger=lambda s: IntervalTrigger.every(timedelta(seconds=s.trading_approval_expire_scan_interval_seconds)),
        criticality=Criticality.CRITICAL_PLUS,
    ),
)


def enabled_jobs(settings: BeatSettings) -> tuple[Job, ...]:
    """The jobs that the settings turn on, in the order of the catalogue.

    The policies of all jobs are checked, so that turning one on brings no surprise.

    Raises:
        SettingsError: overrides of policies contradict each other or their job; it has all of them.
    """
    problems: list[SettingProblem] = []
    jobs: list[Job] = []
    for definition in JOBS:
        try:
            job = definition.job(settings)
        except SettingsError as error:
            problems += error.problems
        else:
            jobs += [job] if definition.enabled(settings) else []
    if problems:
        raise SettingsError(*problems)
    return tuple(jobs)
