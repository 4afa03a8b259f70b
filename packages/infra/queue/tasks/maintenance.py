"""Thin tasks of the area `maintenance`: they read settings, call the job and return what it did as JSON."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from packages.domain.backtest.stale_jobs import fail_stale_backtest_jobs as fail_stale
from packages.domain.maintenance.errors import BackupAlreadyRunningError, BackupFailedError
from packages.domain.maintenance.postgres_backup import backup_postgres_full as backup
from packages.domain.maintenance.user_emails_export import export_user_emails_csv as export
from packages.infra.connections import resolve_connections
from packages.infra.db.engine import psycopg_url
from packages.infra.embedded.binaries import postgres_binary
from packages.infra.queue.celery_app import celery_app
from packages.infra.queue.resources import engine, now, sessions
from packages.infra.queue.retrying import has_retries_left, retry_after, retry_options
from packages.shared_settings import get_worker_io_settings

if TYPE_CHECKING:
    from celery import Task

SETTINGS = get_worker_io_settings()
# Doubled by each retry: the last rests of a killed run, as a connection that the server has not missed yet, end sooner.
_OTHER_BACKUP_WAIT = timedelta(minutes=1)


@celery_app.task(name="maintenance.backup_postgres_full", bind=True, **retry_options(SETTINGS, BackupFailedError))
def backup_postgres_full(self: "Task[Any, Any]") -> dict[str, Any]:
    """Dump the whole database into the backup directory; while another backup is at work, wait and try again."""
    directory = SETTINGS.postgres_bin_directory
    try:
        result = backup(
            database=psycopg_url(resolve_connections(SETTINGS).require_database()),
            directory=SETTINGS.postgres_backup_directory,
            retention_count=SETTINGS.postgres_backup_retention_count,
            pg_dump=directory / "pg_dump" if directory is not None else postgres_binary("pg_dump"),
            now=now(),
            timeout=timedelta(seconds=SETTINGS.postgres_backup_timeout_seconds),
        )
    except BackupAlreadyRunningError as error:
        if not has_retries_left(self):
            raise
        raise retry_after(self, _OTHER_BACKUP_WAIT, error) from error
    return {
        "path": str(result.path),
        "bytes": result.bytes,
        "sha256": result.sha256,
        "seconds": result.seconds,
        "removed": [str(path) for path in result.removed],
    }


@celery_app.task(name="maintenance.export_user_emails_csv", **retry_options(SETTINGS))
def export_user_emails_csv() -> dict[str, Any]:
    """Write every user's address into one CSV file."""
    result = export(engine(), directory=SETTINGS.user_email_csv_export_directory)
    return {"path": str(result.path), "rows": result.rows, "bytes": result.bytes, "seconds": result.seconds}


@celery_app.task(name="maintenance.fail_stale_backtest_jobs", **retry_options(SETTINGS))
def fail_stale_backtest_jobs() -> dict[str, Any]:
    """Fail the backtests that have not reported in for the stale period."""
    stale_after = timedelta(minutes=SETTINGS.backtest_stale_after_minutes)
    with sessions().begin() as session:
        failed = fail_stale(session, now=now(), stale_after=stale_after)
    return {"failed": failed}
