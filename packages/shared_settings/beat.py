"""What beat publishes and how often: a flag and a trigger for each job."""

from typing import ClassVar

from packages.shared_settings.common import CommonSettings
from packages.shared_settings.fields import Flag, Hour, IntervalMinutes, IntervalSeconds, Minute


class BeatSettings(CommonSettings):
    """The flags and trigger parameters of the jobs. Every flag is off unless a layer turns it on."""

    service: ClassVar[str] = "beat"

    postgres_backup_enabled: Flag = False
    postgres_backup_hour_utc: Hour = 2
    postgres_backup_minute_utc: Minute = 30

    user_email_csv_export_enabled: Flag = False
    user_email_csv_export_interval_minutes: IntervalMinutes = 60

    backtest_stale_job_cleanup_enabled: Flag = False
    backtest_stale_job_cleanup_interval_minutes: IntervalMinutes = 5

    paper_trading_enabled: Flag = False
    paper_trading_loop_interval_seconds: IntervalSeconds = 60
    market_data_refresh_active_subscriptions_interval_seconds: IntervalSeconds = 60

    notifications_enabled: Flag = False
    notifications_loop_interval_seconds: IntervalSeconds = 15

    trading_approval_enabled: Flag = False
    trading_approval_expire_scan_interval_seconds: IntervalSeconds = 30
