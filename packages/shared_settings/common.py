"""Settings that every service shares: servers, directories, logs, Celery's limits."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from packages.shared_settings.base import ServiceSettings
from packages.shared_settings.fields import (
    BackendUrl,
    BasisPoints,
    BrokerUrl,
    Count,
    DatabaseUrl,
    Directory,
    IntervalMinutes,
    IntervalSeconds,
    LongSeconds,
    RedisUrl,
)
from packages.shared_settings.layers import ROOT


class CommonSettings(ServiceSettings):
    """What beat and the workers both read. A URL that is not set means the embedded server."""

    minsy_var_dir: Directory = ROOT / "var"
    redis_url: RedisUrl = None
    database_url: DatabaseUrl = None
    celery_broker_url: BrokerUrl = None
    celery_result_backend: BackendUrl = None
    redis_tls_ca_file: Annotated[Path | None, Field(description="the path of a CA file, for rediss:// URLs")] = None

    log_format: Annotated[Literal["text", "json"], Field(description="text or json")] = "text"
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(description="DEBUG, INFO, WARNING or ERROR")
    ] = "INFO"

    celery_task_time_limit_seconds: IntervalSeconds = 3600
    celery_task_soft_time_limit_seconds: IntervalSeconds = 3300
    celery_visibility_timeout_seconds: LongSeconds = 3900
    celery_result_expires_seconds: LongSeconds = 86_400
    celery_task_max_retries: Annotated[int, Field(ge=0, le=3, description="a whole number from 0 to 3")] = 3
    celery_task_retry_backoff_seconds: Count = 2
    celery_task_retry_backoff_cap_seconds: Count = 600

    # Backtests and paper trading pay the same fee, or a backtest would promise what trading does not keep.
    trading_fee_basis_points: BasisPoints = 5

    # One worker reports in, the other one looks for who did not.
    backtest_heartbeat_seconds: IntervalSeconds = 15
    backtest_stale_after_minutes: IntervalMinutes = 30

    @property
    def fee_rate(self) -> Decimal:
        """The fee as a fraction of what is traded."""
        return Decimal(self.trading_fee_basis_points).scaleb(-4)

    @model_validator(mode="after")
    def _limits_agree(self) -> "CommonSettings":
        soft, hard = self.celery_task_soft_time_limit_seconds, self.celery_task_time_limit_seconds
        if soft >= hard:
            raise ValueError(
                f"CELERY_TASK_SOFT_TIME_LIMIT_SECONDS: {soft} is not below CELERY_TASK_TIME_LIMIT_SECONDS ({hard}), "
                "so a task could not end by itself before it is killed"
            )
        if self.celery_visibility_timeout_seconds <= hard:
            raise ValueError(
                f"CELERY_VISIBILITY_TIMEOUT_SECONDS: {self.celery_visibility_timeout_seconds} is not above "
                f"CELERY_TASK_TIME_LIMIT_SECONDS ({hard}), so a task that still runs would be handed out again"
            )
        if 2 * self.backtest_heartbeat_seconds > 60 * self.backtest_stale_after_minutes:
            raise ValueError(
                f"BACKTEST_HEARTBEAT_SECONDS: {self.backtest_heartbeat_seconds} is more than half of "
                f"BACKTEST_STALE_AFTER_MINUTES ({self.backtest_stale_after_minutes}), so a healthy one could be failed"
            )
        return self
