"""`minsy up --demo` as a new user sees it: every job runs, and rows, files and mail show it."""

import hashlib
import signal
import subprocess
from pathlib import Path

import pytest

from packages.infra.embedded.binaries import postgres_binary
from packages.infra.embedded.services import EmbeddedServices
from tests.end_to_end.running import Running, running

BACKUP = "maintenance.backup_postgres_full"
PUBLISHED_BY_BEAT = {
    "maintenance.export_user_emails_csv",
    "maintenance.fail_stale_backtest_jobs",
    "paper_trading.scheduler_tick",
    "market_data.refresh_active_subscriptions",
    "notifications.dispatch_pending",
    "trade_approval.expire_pending",
}


@pytest.mark.end_to_end
def test_up_shows_every_job_at_work() -> None:
    with running() as service:
        up = service.start("up", "apps.cli.main", "up", "--demo")
        service.wait_for(lambda: _all_succeeded(service), "success of every job", "up")
        service.wait_for(lambda: service.rows("SELECT 1 FROM paper_fills"), "fill", "up")
        jobs = service.jobs()
        assert {name for name, job in jobs.items() if job["origin"] == "beat"} == PUBLISHED_BY_BEAT
        assert jobs[BACKUP]["origin"] == "other"
        log = service.log("up")
        for job in PUBLISHED_BY_BEAT:
            assert any(f"beat_job={job}" in line and "worker_io" in line for line in log.splitlines())
        _rows_have_changed(service)
        _backup_is_readable(Path(jobs[BACKUP]["result"]["path"]), jobs[BACKUP]["result"]["sha256"])
        _files_are_there(service)
        assert service.minsy("up").returncode == 1
        workers = {row["name"].partition("@")[0] for row in service.status()["processes"] if row["state"] == "answers"}
        assert workers == {"cpu", "io"}

        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0, service.log("up")[-3000:]
        assert {server.state for server in EmbeddedServices(service.var_dir).status()} == {"stopped"}
        assert service.minsy("status").returncode == 3


def _all_succeeded(service: Running) -> bool:
    jobs = service.jobs()
    return bool(jobs) and all(job["state"] == "SUCCESS" for job in jobs.values())


def _rows_have_changed(service: Running) -> None:
    assert service.rows("SELECT status FROM backtest_jobs") == [("failed",)]
    assert ("expired",) in service.rows("SELECT status FROM trade_approvals")
    assert service.rows("SELECT status FROM paper_orders WHERE status = 'cancelled'")
    assert {symbol for (symbol,) in service.rows("SELECT DISTINCT symbol FROM market_data_bars")} == {"^GSPC", "^IXIC"}
    assert service.rows("SELECT 1 FROM paper_deployments WHERE last_bar_at IS NOT NULL")
    assert service.rows("SELECT 1 FROM notification_outbox WHERE status = 'sent'")


def _backup_is_readable(dump: Path, sha256: str) -> None:
    assert hashlib.sha256(dump.read_bytes()).hexdigest() == sha256
    listing = subprocess.run(
        [postgres_binary("pg_restore"), "--list", dump], capture_output=True, text=True, check=True
    )
    assert "TABLE DATA public paper_orders" in listing.stdout


def _files_are_there(service: Running) -> None:
    export = (service.var_dir / "exports" / "user_emails.csv").read_text(encoding="utf-8")
    assert export.startswith('"id","email","display_name","is_active","created_at"')
    assert list((service.var_dir / "mail" / "data").glob("*.eml"))
