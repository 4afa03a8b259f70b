"""What beat publishes, how often and when not: a flag, a trigger and policies for each job."""

from typing import ClassVar

from pydantic import Field

from packages.shared_settings.common import CommonSettings
from packages.shared_settings.control import (
    LEAST_RATES,
    BurnRate,
    Doublings,
    LeastRatesByCriticality,
    ShareAboveZero,
    ShareBelowOne,
    ShortSeconds,
    WaitSeconds,
    WaitSecondsByQueue,
)
from packages.shared_settings.fields import (
    BindAddress,
    Count,
    Flag,
    GateMode,
    Hour,
    HttpUrl,
    InputFile,
    IntervalMinutes,
    IntervalSeconds,
    Margin,
    Markets,
    Minute,
    Port,
    RedisUrl,
    UnknownDates,
)
from packages.shared_settings.policies import AS_IN_CATALOGUE, Policy


class BeatSettings(CommonSettings):
    """The flags, trigger parameters and policies of the jobs. Every flag is off unless a layer turns it on.

    What a job may differ in stands in the field named after it, with `_policy` behind.
    """

    service: ClassVar[str] = "beat"

    postgres_backup_enabled: Flag = False
    postgres_backup_hour_utc: Hour = 2
    postgres_backup_minute_utc: Minute = 30
    maintenance_backup_postgres_full_policy: Policy = AS_IN_CATALOGUE

    user_email_csv_export_enabled: Flag = False
    user_email_csv_export_interval_minutes: IntervalMinutes = 60
    maintenance_export_user_emails_csv_policy: Policy = AS_IN_CATALOGUE

    backtest_stale_job_cleanup_enabled: Flag = False
    backtest_stale_job_cleanup_interval_minutes: IntervalMinutes = 5
    maintenance_fail_stale_backtest_jobs_policy: Policy = AS_IN_CATALOGUE

    paper_trading_enabled: Flag = False
    paper_trading_loop_interval_seconds: IntervalSeconds = 60
    paper_trading_scheduler_tick_policy: Policy = AS_IN_CATALOGUE
    market_data_refresh_active_subscriptions_interval_seconds: IntervalSeconds = 60
    market_data_refresh_active_subscriptions_policy: Policy = AS_IN_CATALOGUE

    notifications_enabled: Flag = False
    notifications_loop_interval_seconds: IntervalSeconds = 15
    notifications_dispatch_pending_policy: Policy = AS_IN_CATALOGUE

    trading_approval_enabled: Flag = False
    trading_approval_expire_scan_interval_seconds: IntervalSeconds = 30
    trade_approval_expire_pending_policy: Policy = AS_IN_CATALOGUE

    # Of the jobs that work only while a market is open.
    trading_hours_gate: GateMode = "enforce"
    trading_hours_markets: Markets = ("XNYS",)
    trading_hours_margin_before_minutes: Margin = 5
    # The last bar of a session is there only some time after its close.
    trading_hours_margin_after_minutes: Margin = 15
    trading_hours_unknown_dates: UnknownDates = "fail_open"
    calendar_overrides_file: InputFile = None

    # How publishing answers to what happens downstream. The engine says what each means, and its own are the same.
    control_interval_seconds: ShortSeconds = 10
    control_readings_stale_seconds: ShortSeconds = 30

    backlog_gate: GateMode = "enforce"
    backlog_target_seconds: WaitSeconds = 5
    backlog_target_seconds_by_queue: WaitSecondsByQueue = Field(default_factory=dict)
    backlog_target_messages: Count = 100
    backlog_standing_seconds: ShortSeconds = 60
    backlog_look_again_seconds: ShortSeconds = 30
    backlog_drained_seconds: ShortSeconds = 60
    backlog_calm_share: ShareBelowOne = 0.1
    backlog_decrease: ShareBelowOne = 0.04
    backlog_most_decrease: ShareBelowOne = 0.9
    backlog_grave_targets: Count = 4
    backlog_increase: ShareAboveZero = 0.002
    backlog_most_doubled: Doublings = 3
    backlog_least_rates: LeastRatesByCriticality = LEAST_RATES

    slo_gate: GateMode = "enforce"
    slo_objectives_file: InputFile = None
    slo_prometheus_url: HttpUrl = None
    slo_dwell_minutes: IntervalMinutes = 10
    slo_least_events: Count = 20
    slo_burn_rate_l1: BurnRate = 1
    slo_burn_rate_l2: BurnRate = 6
    slo_burn_rate_l3: BurnRate = 14.4

    failing_target_gate: GateMode = "enforce"
    failing_target_succeeding: ShareAboveZero = 0.5
    failing_target_most_shed: ShareBelowOne = 0.8
    failing_target_least_runs: Count = 10

    # What beat keeps, where the broker is no Redis.
    beat_state_url: RedisUrl = None

    # Probes and metrics; a second replica on one machine needs another port.
    beat_health_host: BindAddress = "127.0.0.1"
    beat_health_port: Port = 9810
