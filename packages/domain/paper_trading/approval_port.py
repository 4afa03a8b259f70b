"""How paper trading asks a person before it trades. Decides nothing about approvals; `trade_approval` provides it.

A port, because approvals act on orders: `trade_approval` imports this area, and this area must not import it back.
"""

import datetime as dt
from typing import Protocol

from sqlalchemy.orm import Session

from packages.domain.paper_trading.models import Deployment, Order


class AskApproval(Protocol):
    """Writes the question for `order`, and the message to the deployment's owner, in the caller's transaction."""

    def __call__(
        self, session: Session, *, order: Order, deployment: Deployment, now: dt.datetime, expires_at: dt.datetime
    ) -> None:
        """Ask. `expires_at` is exclusive: a decision at or after it is too late."""
