"""`minsy approvals` on a real database: what waits, what an answer does to the order, and what stands against it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.domain.trade_approval.models import TradeApproval
from packages.infra.db import migrate
from packages.shared_settings.layers import ROOT
from tests.paper_trading.trading_world import add_user
from tests.trade_approval.asked import Asked

Minsy = Callable[..., "subprocess.CompletedProcess[str]"]
OWNER = ("--by", "Owner@example.com")


@pytest.fixture
def minsy(database_url: str, tmp_path: Path) -> Minsy:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    variables = {
        "DATABASE_URL": database_url,
        # Never asked for anything here.
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "MINSY_ENV_DIR": str(tmp_path),
        "MINSY_VAR_DIR": str(tmp_path / "var"),
        "TRADING_FEE_BASIS_POINTS": "100",
    }

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "apps.cli.main", "approvals", *arguments],
            env=kept | variables,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def asked(database_url: str) -> Iterator[Asked]:
    """An approval that is asked for and has an hour."""
    migrate.upgrade(database_url)
    engine = sa.create_engine(database_url)
    asked = Asked(engine)
    move_end(asked, timedelta(hours=1))
    yield asked
    engine.dispose()


def move_end(asked: Asked, left: timedelta) -> None:
    with Session(asked.engine) as session, session.begin():
        session.execute(sa.update(TradeApproval).values(expires_at=datetime.now(UTC) + left))


def test_approving_fills_the_order_at_the_fee_of_the_settings(minsy: Minsy, asked: Asked) -> None:
    [waiting] = json.loads(minsy("list", "--json").stdout)
    assert (waiting["approval_id"], waiting["status"], waiting["symbol"]) == (asked.approval_id, "pending", "ABC")
    shown = minsy("list").stdout
    assert "buy 50 ABC at 10" in shown
    assert "owner@example.com" in shown

    done = minsy("approve", str(asked.approval_id), *OWNER)
    assert done.returncode == 0, done.stderr
    assert f"approval {asked.approval_id} is approved; order {asked.order_id} is filled" in done.stdout
    assert asked.state() == ("approved", "filled", 1)
    with asked.engine.connect() as connection:
        # 50 at 10, and 100 basis points.
        assert connection.execute(sa.text("SELECT fee FROM paper_fills")).scalar_one() == 5

    assert minsy("list").stdout == "No approval waits for a decision.\n"
    [decided] = json.loads(minsy("list", "--all", "--json").stdout)
    assert (decided["status"], decided["decided_by"], decided["order_status"]) == (
        "approved",
        "owner@example.com",
        "filled",
    )
    again = minsy("reject", str(asked.approval_id), *OWNER)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"Error: approval {asked.approval_id} is approved already\n"


def test_rejecting_closes_the_order(minsy: Minsy, asked: Asked) -> None:
    done = minsy("reject", str(asked.approval_id), *OWNER, "--json")
    assert done.returncode == 0, done.stderr
    decision = json.loads(done.stdout)
    assert (decision["decision"], decision["order_id"], decision["order_status"]) == (
        "rejected",
        asked.order_id,
        "rejected",
    )
    assert asked.state() == ("rejected", "rejected", 0)


def test_an_approval_that_cannot_be_filled_says_why(minsy: Minsy, asked: Asked) -> None:
    with asked.engine.begin() as connection:
        connection.execute(sa.text("UPDATE paper_deployments SET cash = 1"))
    done = minsy("approve", str(asked.approval_id), *OWNER)
    assert done.returncode == 0, done.stderr
    assert f"order {asked.order_id} is rejected" in done.stdout
    assert "approved, but not filled: the order costs 505" in done.stdout


def test_what_stands_against_a_decision_is_one_line(minsy: Minsy, asked: Asked) -> None:
    with Session(asked.engine) as session, session.begin():
        add_user(session, "gone@example.com", is_active=False)
    number = str(asked.approval_id)
    for arguments, said in (
        (("approve", "4711", *OWNER), "there is no approval 4711"),
        (("approve", number, "--by", "nobody@example.com"), "there is no user nobody@example.com"),
        (("reject", number, "--by", "gone@example.com"), "user gone@example.com is not active"),
    ):
        done = minsy(*arguments)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {said}\n")
    assert minsy("approve", number).returncode == 2
    assert minsy("approve", "first", *OWNER).returncode == 2
    move_end(asked, timedelta(seconds=-1))
    late = minsy("approve", number, *OWNER)
    assert (late.returncode, late.stderr) == (1, f"Error: approval {number} is expired already\n")
    assert asked.state() == ("pending", "pending_approval", 0)


def test_a_database_without_tables_is_one_line(minsy: Minsy) -> None:
    done = minsy("list")
    assert done.returncode == 1
    assert "Run: minsy db migrate" in done.stderr
    assert done.stderr.count("\n") == 1
