"""A small set of demonstration rows, so that every job finds something to do. Never changes a row that is there.

Rows are found again by what a person would know them by, so seeding twice adds nothing: what the jobs have made
of the rows since (an expired approval, a failed backtest, a sent message) stays as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from packages.domain.accounts.models import User
from packages.domain.backtest.models import BacktestJob
from packages.domain.base import Base
from packages.domain.market_data.models import Subscription
from packages.domain.notifications.models import Notification
from packages.domain.paper_trading.models import Deployment, Order, Strategy
from packages.domain.trade_approval.models import TradeApproval

_ADVISORY_LOCK_KEY: Final = int.from_bytes(b"minsysed", "big")
_CASH: Final = Decimal(100_000)
_HIGH_LIMIT: Final = Decimal(1_000_000)
_LOW_LIMIT: Final = Decimal(1_000)
# The last session before those that the recorded bars replay, so that no run decides on it again.
_OLD_BAR_AT: Final = datetime(1999, 12, 31, tzinfo=UTC)

_USERS: Final = (
    ("ada@minsy.example", "Ada Lovelace", True),
    ("benoit@minsy.example", "Benoît Mandelbrot", True),
    ("grace@minsy.example", "Grace Hopper", True),
    # A spreadsheet would run this name; the export shows what becomes of it.
    ("mallory@minsy.example", "=1+1", True),
    ("former@minsy.example", "Former Member", False),
)
_SUBSCRIPTIONS: Final = (("^GSPC", "XNYS"), ("^IXIC", "XNAS"))
_CROSS: Final = "Demo: moving-average cross"
_REVERSION: Final = "Demo: mean reversion"
_STRATEGIES: Final = (
    (_CROSS, "moving_average_cross", {"fast_bars": 5, "slow_bars": 20, "position_fraction": 0.5}),
    (_REVERSION, "mean_reversion", {"window_bars": 10, "entry_deviations": 1.0, "position_fraction": 0.5}),
)
_DEPLOYMENTS: Final = (
    ("ada@minsy.example", _CROSS, "^GSPC", _HIGH_LIMIT),
    ("ada@minsy.example", _REVERSION, "^IXIC", _HIGH_LIMIT),
    ("benoit@minsy.example", _REVERSION, "^GSPC", _HIGH_LIMIT),
    # Nearly every order of this one is above its limit and asks for approval.
    ("grace@minsy.example", _REVERSION, "^IXIC", _LOW_LIMIT),
)
_CAREFUL: Final = _DEPLOYMENTS[-1]
_NOTIFICATIONS: Final = (
    ("demo:welcome:ada", "ada@minsy.example", "Welcome to Minsy", "Two of your strategies trade with paper money."),
    ("demo:welcome:grace", "grace@minsy.example", "Welcome to Minsy", "Your orders above 1000 ask for approval."),
)


@dataclass(frozen=True)
class SeedReport:
    """How many rows were added to each table; 0 where they were there already."""

    added: Mapping[str, int]

    def __str__(self) -> str:
        added = ", ".join(f"{count} {table}" for table, count in self.added.items() if count)
        return f"added {added}" if added else "was there already"


def seed_demo(session: Session, *, now: datetime) -> SeedReport:
    """Add the demonstration rows that are missing. The caller commits. Two at once wait for each other."""
    session.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK_KEY)))
    added = {
        "users": _add_missing(
            session,
            User,
            [{"email": email, "display_name": name, "is_active": active} for email, name, active in _USERS],
        ),
        "market_data_subscriptions": _add_missing(
            session, Subscription, [{"symbol": symbol, "exchange": exchange} for symbol, exchange in _SUBSCRIPTIONS]
        ),
        "strategies": _add_missing(
            session,
            Strategy,
            [{"name": name, "kind": kind, "parameters": parameters} for name, kind, parameters in _STRATEGIES],
        ),
        "paper_deployments": sum(_add_deployment(session, *deployment) for deployment in _DEPLOYMENTS),
        "trade_approvals": _add_past_due_approval(session, now),
        "backtest_jobs": _add_silent_backtest(session, now),
        "notification_outbox": _add_missing(session, Notification, _notifications(now)),
    }
    return SeedReport(added)


def _add_missing(session: Session, table: type[Base], rows: list[dict[str, Any]]) -> int:
    """Insert the rows whose unique key is not there."""
    key = next(iter(table.__mapper__.primary_key))
    statement = insert(table).values(rows).on_conflict_do_nothing().returning(key)
    return len(session.execute(statement).all())


def _notifications(now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "idempotency_key": key,
            "channel": "email",
            "recipient": recipient,
            "subject": subject,
            "body": body,
            "next_attempt_at": now,
        }
        for key, recipient, subject, body in _NOTIFICATIONS
    ]


def _add_deployment(session: Session, email: str, strategy: str, symbol: str, order_limit: Decimal) -> int:
    if _find_deployment(session, email, strategy, symbol) is not None:
        return 0
    deployment = Deployment(
        user_id=_user_id(session, email),
        strategy_id=_strategy_id(session, strategy),
        symbol=symbol,
        cash=_CASH,
        order_limit=order_limit,
    )
    session.add(deployment)
    session.flush()
    return 1


def _add_past_due_approval(session: Session, now: datetime) -> int:
    """An order that waits for an approval whose time is over, as if nobody had answered."""
    email, strategy, symbol, _ = _CAREFUL
    deployment = _find_deployment(session, email, strategy, symbol)
    if deployment is None or deployment.last_bar_at is not None:
        return 0
    deployment.last_bar_at = _OLD_BAR_AT
    order = Order(
        deployment_id=deployment.id,
        bar_opened_at=_OLD_BAR_AT,
        side="buy",
        quantity=Decimal("12.5"),
        reference_price=Decimal("4069.31"),
        status="pending_approval",
        reason="Demonstration: an order above the limit of its deployment.",
        created_at=now - timedelta(minutes=16),
    )
    session.add(order)
    session.flush()
    session.add(
        TradeApproval(
            order_id=order.id, requested_at=now - timedelta(minutes=16), expires_at=now - timedelta(minutes=1)
        )
    )
    session.flush()
    return 1


def _add_silent_backtest(session: Session, now: datetime) -> int:
    """A job that says it is running, with its last heartbeat hours ago."""
    user_id, strategy_id = _user_id(session, _USERS[0][0]), _strategy_id(session, _CROSS)
    known = select(BacktestJob.id).where(BacktestJob.user_id == user_id, BacktestJob.strategy_id == strategy_id)
    if session.scalars(known).first() is not None:
        return 0
    session.add(
        BacktestJob(
            user_id=user_id,
            strategy_id=strategy_id,
            symbol="^GSPC",
            status="running",
            created_at=now - timedelta(hours=6),
            started_at=now - timedelta(hours=6),
            heartbeat_at=now - timedelta(hours=5),
        )
    )
    session.flush()
    return 1


def _user_id(session: Session, email: str) -> int:
    return session.scalars(select(User.id).where(User.email == email)).one()


def _strategy_id(session: Session, name: str) -> int:
    return session.scalars(select(Strategy.id).where(Strategy.name == name)).one()


def _find_deployment(session: Session, email: str, strategy: str, symbol: str) -> Deployment | None:
    query = select(Deployment).where(
        Deployment.user_id == _user_id(session, email),
        Deployment.strategy_id == _strategy_id(session, strategy),
        Deployment.symbol == symbol,
    )
    return session.scalars(query.order_by(Deployment.id)).first()
