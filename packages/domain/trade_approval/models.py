"""The question put to a person before an order above its limit is filled."""

import datetime as dt

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from packages.domain.base import Base


class TradeApproval(Base):
    """Asked once for an order. `pending` is the only state that can change; `expires_at` is exclusive."""

    __tablename__ = "trade_approvals"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'approved', 'rejected', 'expired')", name="status_known"),
        CheckConstraint("(status = 'pending') = (decided_at IS NULL)", name="decided_when_not_pending"),
        Index("ix_trade_approvals_pending", "expires_at", postgresql_where="status = 'pending'"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("paper_orders.id"), unique=True)
    status: Mapped[str] = mapped_column(default="pending")
    requested_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[dt.datetime]
    decided_at: Mapped[dt.datetime | None]
    decided_by_user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
