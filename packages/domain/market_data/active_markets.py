"""On which markets the symbols that are followed trade. Whether a market is open is not decided here."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from packages.domain.market_data.models import Subscription


def active_markets(session: Session) -> frozenset[str]:
    """The exchanges of the active subscriptions: MIC codes, or `24/7`."""
    return frozenset(session.scalars(select(Subscription.exchange).where(Subscription.is_active).distinct()))
