"""Code in a process of its own, with settings that a test gives."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from packages.shared_settings.layers import ROOT

FLAGS = {
    "POSTGRES_BACKUP_ENABLED": {"maintenance.backup_postgres_full"},
    "USER_EMAIL_CSV_EXPORT_ENABLED": {"maintenance.export_user_emails_csv"},
    "BACKTEST_STALE_JOB_CLEANUP_ENABLED": {"maintenance.fail_stale_backtest_jobs"},
    "PAPER_TRADING_ENABLED": {"paper_trading.scheduler_tick", "market_data.refresh_active_subscriptions"},
    "NOTIFICATIONS_ENABLED": {"notifications.dispatch_pending"},
    "TRADING_APPROVAL_ENABLED": {"trade_approval.expire_pending"},
}


def without_settings(directory: Path) -> dict[str, str]:
    """A process environment without any setting of ours, and an empty directory of env files."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return {**kept, "MINSY_ENV_DIR": str(directory), "MINSY_VAR_DIR": str(directory / "var")}


def python(code: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def printed(code: str, environ: dict[str, str]) -> Any:  # noqa: ANN401  # what the code printed as JSON
    done = python(f"import json\n{code}", environ)
    assert done.returncode == 0, done.stderr
    # Beat logs to the same stream.
    return json.loads(done.stdout.splitlines()[-1])
