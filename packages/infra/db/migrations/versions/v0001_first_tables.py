"""All tables of the first version."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    _create_accounts()
    _create_market_data()
    _create_outbox()
    _create_strategies_and_deployments()
    _create_orders()
    _create_approvals()
    _create_backtests()


def downgrade() -> None:
    for table in (
        "backtest_jobs",
        "trade_approvals",
        "paper_positions",
        "paper_fills",
        "paper_orders",
        "paper_deployments",
        "strategies",
        "notification_outbox",
        "market_data_bars",
        "market_data_subscriptions",
        "users",
    ):
        op.drop_table(table)


def _create_accounts() -> None:
    op.create_table(
        "users",
        _id(),
        _text("email"),
        _text("display_name"),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        _instant_now("created_at"),
        sa.CheckConstraint("email = lower(email)", name=op.f("ck_users_email_lower_case")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )


def _create_market_data() -> None:
    op.create_table(
        "market_data_subscriptions",
        _id(),
        _text("symbol"),
        _text("timeframe"),
        _text("exchange"),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        _instant("last_refreshed_at", nullable=True),
        _text("last_error", nullable=True),
        _instant_now("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_market_data_subscriptions")),
        sa.UniqueConstraint("symbol", "timeframe", name=op.f("uq_market_data_subscriptions_symbol_timeframe")),
    )
    op.create_table(
        "market_data_bars",
        _text("symbol"),
        _text("timeframe"),
        _instant("opened_at"),
        *(_amount(name) for name in ("open", "high", "low", "close", "volume")),
        _instant_now("stored_at"),
        sa.CheckConstraint(
            "low <= least(open, close) AND high >= greatest(open, close)",
            name=op.f("ck_market_data_bars_prices_in_range"),
        ),
        sa.CheckConstraint("volume >= 0", name=op.f("ck_market_data_bars_volume_not_negative")),
        sa.PrimaryKeyConstraint("symbol", "timeframe", "opened_at", name=op.f("pk_market_data_bars")),
    )


def _create_outbox() -> None:
    op.create_table(
        "notification_outbox",
        _id(),
        _text("idempotency_key"),
        _text("channel"),
        _text("recipient", nullable=True),
        _text("subject"),
        _text("body"),
        _text("status"),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        _instant_now("next_attempt_at"),
        _instant("claimed_until", nullable=True),
        _text("last_error", nullable=True),
        _instant_now("created_at"),
        _instant("sent_at", nullable=True),
        sa.CheckConstraint("status IN ('pending', 'sent', 'dead')", name=op.f("ck_notification_outbox_status_known")),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_notification_outbox_attempts_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_outbox")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_notification_outbox_idempotency_key")),
    )
    op.create_index(
        "ix_notification_outbox_due",
        "notification_outbox",
        ["next_attempt_at"],
        postgresql_where="status = 'pending'",
    )


def _create_strategies_and_deployments() -> None:
    op.create_table(
        "strategies",
        _id(),
        _text("name"),
        _text("kind"),
        sa.Column("parameters", JSONB(), nullable=False),
        _instant_now("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_strategies")),
        sa.UniqueConstraint("name", name=op.f("uq_strategies_name")),
    )
    op.create_table(
        "paper_deployments",
        _id(),
        _reference("user_id"),
        _reference("strategy_id"),
        _text("symbol"),
        _text("timeframe"),
        _text("status"),
        _amount("cash"),
        _amount("order_limit"),
        _instant("last_bar_at", nullable=True),
        _instant("claimed_until", nullable=True),
        _text("last_error", nullable=True),
        _instant_now("created_at"),
        sa.CheckConstraint(
            "status IN ('running', 'paused', 'stopped')", name=op.f("ck_paper_deployments_status_known")
        ),
        sa.CheckConstraint("cash >= 0", name=op.f("ck_paper_deployments_cash_not_negative")),
        sa.CheckConstraint("order_limit > 0", name=op.f("ck_paper_deployments_order_limit_positive")),
        _foreign_key("paper_deployments", "user_id", "users"),
        _foreign_key("paper_deployments", "strategy_id", "strategies"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paper_deployments")),
    )
    op.create_index(
        "ix_paper_deployments_running",
        "paper_deployments",
        ["symbol", "timeframe"],
        postgresql_where="status = 'running'",
    )


def _create_orders() -> None:
    op.create_table(
        "paper_orders",
        _id(),
        _reference("deployment_id"),
        _instant("bar_opened_at"),
        _text("side"),
        _amount("quantity"),
        _amount("reference_price"),
        _text("status"),
        _text("reason"),
        _instant_now("created_at"),
        _instant("closed_at", nullable=True),
        sa.CheckConstraint("side IN ('buy', 'sell')", name=op.f("ck_paper_orders_side_known")),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_paper_orders_quantity_positive")),
        sa.CheckConstraint(
            "status IN ('pending_approval', 'filled', 'cancelled', 'rejected')",
            name=op.f("ck_paper_orders_status_known"),
        ),
        _foreign_key("paper_orders", "deployment_id", "paper_deployments"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paper_orders")),
        sa.UniqueConstraint("deployment_id", "bar_opened_at", name=op.f("uq_paper_orders_deployment_id_bar_opened_at")),
    )
    op.create_table(
        "paper_fills",
        _id(),
        _reference("order_id"),
        _amount("price"),
        _amount("quantity"),
        _amount("fee"),
        _instant("filled_at"),
        _foreign_key("paper_fills", "order_id", "paper_orders"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paper_fills")),
        sa.UniqueConstraint("order_id", name=op.f("uq_paper_fills_order_id")),
    )
    op.create_table(
        "paper_positions",
        _reference("deployment_id"),
        _text("symbol"),
        _amount("quantity"),
        _amount("average_price"),
        _amount("realized_profit"),
        _instant("updated_at"),
        sa.CheckConstraint("quantity >= 0", name=op.f("ck_paper_positions_quantity_not_negative")),
        _foreign_key("paper_positions", "deployment_id", "paper_deployments"),
        sa.PrimaryKeyConstraint("deployment_id", "symbol", name=op.f("pk_paper_positions")),
    )


def _create_approvals() -> None:
    op.create_table(
        "trade_approvals",
        _id(),
        _reference("order_id"),
        _text("status"),
        _instant_now("requested_at"),
        _instant("expires_at"),
        _instant("decided_at", nullable=True),
        _reference("decided_by_user_id", nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'approved', 'rejected', 'expired')", name=op.f("ck_trade_approvals_status_known")
        ),
        sa.CheckConstraint(
            "(status = 'pending') = (decided_at IS NULL)", name=op.f("ck_trade_approvals_decided_when_not_pending")
        ),
        _foreign_key("trade_approvals", "order_id", "paper_orders"),
        _foreign_key("trade_approvals", "decided_by_user_id", "users"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trade_approvals")),
        sa.UniqueConstraint("order_id", name=op.f("uq_trade_approvals_order_id")),
    )
    op.create_index(
        "ix_trade_approvals_pending", "trade_approvals", ["expires_at"], postgresql_where="status = 'pending'"
    )


def _create_backtests() -> None:
    op.create_table(
        "backtest_jobs",
        _id(),
        _reference("user_id"),
        _reference("strategy_id"),
        _text("symbol"),
        _text("timeframe"),
        _text("status"),
        _instant("heartbeat_at", nullable=True),
        _instant("started_at", nullable=True),
        _instant("finished_at", nullable=True),
        sa.Column("result", JSONB(), nullable=True),
        _text("error", nullable=True),
        _instant_now("created_at"),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed')", name=op.f("ck_backtest_jobs_status_known")
        ),
        _foreign_key("backtest_jobs", "user_id", "users"),
        _foreign_key("backtest_jobs", "strategy_id", "strategies"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backtest_jobs")),
    )
    op.create_index(
        "ix_backtest_jobs_running", "backtest_jobs", ["heartbeat_at"], postgresql_where="status = 'running'"
    )


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False)


def _reference(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _foreign_key(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=op.f(f"fk_{table}_{column}_{target}"))


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _amount(name: str) -> sa.Column[Decimal]:
    return sa.Column(name, sa.Numeric(24, 8), nullable=False)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[dt.datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _instant_now(name: str) -> sa.Column[dt.datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)
