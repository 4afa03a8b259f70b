"""The operator's word and a reload on a real `minsy up`: followed, told in the log, and nothing to other jobs."""

import re
import shutil
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from packages.infra.embedded.endpoints import read_endpoints
from packages.shared_settings.layers import ROOT
from tests.end_to_end.running import Running, running

DISPATCH = "notifications.dispatch_pending"
EXPIRE = "trade_approval.expire_pending"
STALE = "maintenance.fail_stale_backtest_jobs"
REFRESH = "market_data.refresh_active_subscriptions"
# Two markets each, far enough apart on the globe that one pair is closed now, margins included.
TORONTO_AND_NEW_YORK = ("XNYS", "XTSE")
TOKYO_AND_HONG_KONG = ("XTKS", "XHKG")


def closed_markets() -> tuple[str, str]:
    return TOKYO_AND_HONG_KONG if 12 <= datetime.now(UTC).hour < 23 else TORONTO_AND_NEW_YORK


class EnvFile:
    """What beat reads, replaced in one step as an editor does it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path = directory / ".env.dev.beat"
        self._values = {
            "NOTIFICATIONS_ENABLED": "true",
            "NOTIFICATIONS_LOOP_INTERVAL_SECONDS": "1",
            "TRADING_APPROVAL_ENABLED": "true",
            "TRADING_APPROVAL_EXPIRE_SCAN_INTERVAL_SECONDS": "1",
            "PAPER_TRADING_ENABLED": "true",
            "MARKET_DATA_REFRESH_ACTIVE_SUBSCRIPTIONS_INTERVAL_SECONDS": "1",
            "TRADING_HOURS_GATE": "observe",
            "TRADING_HOURS_MARKETS": closed_markets()[0],
        }

    def write(self, **changes: str) -> None:
        self._values |= changes
        fresh = self._path.with_suffix(".fresh")
        fresh.write_text("".join(f"{name}={value}\n" for name, value in self._values.items()))
        fresh.replace(self._path)


@pytest.fixture(scope="module")
def env_file(tmp_path_factory: pytest.TempPathFactory) -> EnvFile:
    directory = tmp_path_factory.mktemp("env")
    shutil.copytree(ROOT / "env", directory, dirs_exist_ok=True)
    env_file = EnvFile(directory)
    env_file.write()
    return env_file


@pytest.fixture(scope="module")
def service(env_file: EnvFile) -> Iterator[Running]:
    with running(MINSY_ENV_DIR=str(env_file.directory)) as service:
        _say(service, "services", "start")
        _say(service, "db", "migrate")
        _follow_a_symbol(service, closed_markets()[1])
        up = service.start("up", "apps.cli.main", "up")
        service.wait_for(lambda: "succeeded" in service.log("up"), "first run", "up")
        yield service
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0, service.log("up")[-3000:]


@pytest.mark.end_to_end
def test_a_paused_job_is_left_out_and_a_trigger_runs_it_all_the_same(service: Running) -> None:
    _say(service, "pause", DISPATCH, "--note", "maintenance")
    _wait_for_decision(service, 0, job=DISPATCH, verdict="skip", reason="paused")
    since = len(service.log("up"))
    _say(service, "trigger", DISPATCH)
    _wait_for_decision(service, since, job=DISPATCH, verdict="fire", reason="requested")
    _wait_for_decision(service, since, job=EXPIRE, verdict="fire", reason="on_time")
    assert "maintenance" in service.minsy("pauses").stdout
    assert (DISPATCH, "fire", "on_time") not in _decisions(service, since)

    _say(service, "resume", DISPATCH)
    _wait_for_decision(service, len(service.log("up")), job=DISPATCH, verdict="fire", reason="on_time")


@pytest.mark.end_to_end
def test_a_change_of_the_env_file_touches_its_jobs_only(service: Running, env_file: EnvFile) -> None:
    since = len(service.log("up"))
    env_file.write(TRADING_APPROVAL_EXPIRE_SCAN_INTERVAL_SECONDS="never")
    service.wait_for(lambda: "settings_reload_refused" in service.log("up")[since:], "refusal", "up")
    assert "TRADING_APPROVAL_EXPIRE_SCAN_INTERVAL_SECONDS" in service.log("up")[since:]
    _wait_for_decision(service, len(service.log("up")), job=EXPIRE, verdict="fire", reason="on_time")

    since = len(service.log("up"))
    env_file.write(
        TRADING_APPROVAL_EXPIRE_SCAN_INTERVAL_SECONDS="1",
        BACKTEST_STALE_JOB_CLEANUP_ENABLED="true",
        NOTIFICATIONS_ENABLED="false",
    )
    service.wait_for(lambda: f"entry_removed job={DISPATCH}" in service.log("up")[since:], "removal", "up")
    removed_at = len(service.log("up"))
    _wait_for_decision(service, removed_at, job=EXPIRE, verdict="fire", reason="on_time")
    assert DISPATCH not in {job for job, _, _ in _decisions(service, removed_at)}
    changed = set(re.findall(r"entry_\w+ job=(\S+)", service.log("up")[since:]))
    assert changed == {DISPATCH, STALE}


@pytest.mark.end_to_end
def test_trading_hours_hold_back_as_soon_as_they_are_enforced(service: Running, env_file: EnvFile) -> None:
    # A followed symbol trades on a further market; that one is closed as well.
    further = closed_markets()[1]
    service.wait_for(lambda: further in service.minsy("explain", REFRESH).stdout, "market in use", "up")
    since = len(service.log("up"))
    env_file.write(TRADING_HOURS_GATE="enforce")
    _wait_for_decision(service, since, job=REFRESH, verdict="skip", reason="market_closed")


def _say(service: Running, *words: str) -> None:
    command = service.minsy(*words)
    assert command.returncode == 0, command.stderr


def _decisions(service: Running, since: int) -> list[tuple[str, str, str]]:
    """Job, verdict and reason of the decisions in the log from a position on."""
    return re.findall(r"decision job=(\S+) .*?verdict=(\w+) reason=(\w+)", service.log("up")[since:])


def _wait_for_decision(service: Running, since: int, *, job: str, verdict: str, reason: str) -> None:
    wanted = (job, verdict, reason)
    service.wait_for(lambda: wanted in _decisions(service, since), f"decision {wanted}", "up")


def _follow_a_symbol(service: Running, market: str) -> None:
    endpoints = read_endpoints(service.var_dir)
    assert endpoints is not None
    assert endpoints.database_url is not None
    engine = sa.create_engine(endpoints.database_url)
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO market_data_subscriptions (symbol, timeframe, exchange, is_active)"
                " VALUES ('^GSPC', '1d', :exchange, true)"
            ),
            {"exchange": market},
        )
    engine.dispose()
