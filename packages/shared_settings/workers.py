"""What the two workers are given: their size, and the parameters of the jobs that they run."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, SecretStr, model_validator

from packages.shared_settings.common import CommonSettings
from packages.shared_settings.fields import (
    BindAddress,
    Count,
    Directory,
    Flag,
    IntervalMinutes,
    IntervalSeconds,
    Port,
)

# The channel that the platform itself writes to.
EMAIL = "email"

Concurrency = Annotated[int, Field(ge=1, le=256, description="a whole number of processes from 1 to 256")]


class WorkerCpuSettings(CommonSettings):
    """The worker of long computations: one process, and a fresh one for each task."""

    service: ClassVar[str] = "worker_cpu"

    worker_cpu_concurrency: Concurrency = 1
    worker_cpu_max_tasks_per_child: Count = 1
    # How late it begins what beat published, for Prometheus.
    worker_cpu_metrics_host: BindAddress = "127.0.0.1"
    worker_cpu_metrics_port: Port = None
    backtest_initial_cash: Annotated[int, Field(ge=1, le=10**12, description="a whole amount from 1 to 10^12")] = (
        100_000
    )


class WorkerIoSettings(CommonSettings):
    """The worker of the periodic jobs: several processes that wait for the database, a provider, a mail server."""

    service: ClassVar[str] = "worker_io"

    worker_io_concurrency: Concurrency = 4
    worker_io_max_tasks_per_child: Count = 500
    # How late it begins what beat published, for Prometheus.
    worker_io_metrics_host: BindAddress = "127.0.0.1"
    worker_io_metrics_port: Port = None

    postgres_backup_directory: Directory = Field(default_factory=lambda data: data["minsy_var_dir"] / "backups")
    postgres_backup_retention_count: Annotated[
        int, Field(ge=1, le=1000, description="a whole number of backups from 1 to 1000")
    ] = 7
    postgres_backup_timeout_seconds: IntervalSeconds = 3000
    postgres_bin_directory: Annotated[
        Path | None, Field(description="the directory of pg_dump, at least as new as the server")
    ] = None

    user_email_csv_export_directory: Directory = Field(default_factory=lambda data: data["minsy_var_dir"] / "exports")

    paper_trading_batch_size: Count = 500
    paper_trading_claim_seconds: IntervalSeconds = 120
    trading_approval_valid_minutes: IntervalMinutes = 60
    trading_approval_expire_batch_size: Count = 500

    market_data_provider: Annotated[Literal["recorded", "alpaca"], Field(description="recorded or alpaca")] = "recorded"
    market_data_replay_speed: Annotated[
        float, Field(gt=0, le=1_000_000, description="recorded seconds in a real one, above 0 to 1000000")
    ] = 8640.0
    alpaca_api_key: Annotated[SecretStr | None, Field(description="the key of an Alpaca account")] = None
    alpaca_api_secret: Annotated[SecretStr | None, Field(description="the secret of that key")] = None
    alpaca_feed: Annotated[Literal["iex", "sip"], Field(description="iex or sip")] = "iex"

    notifications_batch_size: Count = 50
    notifications_max_attempts: Annotated[int, Field(ge=1, le=100, description="a whole number from 1 to 100")] = 8
    notifications_backoff_seconds: IntervalSeconds = 5
    notifications_backoff_cap_seconds: IntervalSeconds = 3600
    notifications_claim_seconds: IntervalSeconds = 300
    notification_channels: Annotated[
        dict[str, SecretStr],
        Field(description='a JSON object of channel names and Apprise URLs, such as {"email": "mailto://..."}'),
    ] = Field(default_factory=dict)
    notification_smtp_sink_enabled: Flag = False

    @model_validator(mode="after")
    def _parts_agree(self) -> "WorkerIoSettings":
        if self.market_data_provider == "alpaca" and not (self.alpaca_api_key and self.alpaca_api_secret):
            raise ValueError(
                "MARKET_DATA_PROVIDER: alpaca needs ALPACA_API_KEY and ALPACA_API_SECRET (in env/.env.secrets)"
            )
        if self.postgres_backup_timeout_seconds >= self.celery_task_soft_time_limit_seconds:
            raise ValueError(
                f"POSTGRES_BACKUP_TIMEOUT_SECONDS: {self.postgres_backup_timeout_seconds} is not below "
                f"CELERY_TASK_SOFT_TIME_LIMIT_SECONDS ({self.celery_task_soft_time_limit_seconds}), so the "
                "other limit would end a backup first"
            )
        if self.notifications_backoff_cap_seconds < self.notifications_backoff_seconds:
            raise ValueError(
                "NOTIFICATIONS_BACKOFF_CAP_SECONDS: it is below NOTIFICATIONS_BACKOFF_SECONDS "
                f"({self.notifications_backoff_seconds})"
            )
        return self
