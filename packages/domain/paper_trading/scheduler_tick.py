"""Picks the deployments whose next bar is there and claims each for one run. Never trades, sends or commits.

    due  --claim-->  claimed until T  --run commits-->  last_bar_at advanced, claim released
                          |
                          +-- the run's message was lost: at T the deployment is due again

The claim only keeps messages from being sent in vain. That a bar is traded once is held by `run_deployment`.
"""

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import func, lateral, or_, select, true, update
from sqlalchemy.orm import Session

from packages.domain.market_data.models import Bar
from packages.domain.paper_trading.models import Deployment


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedDeployment:
    """One run to send: this deployment is to decide on the bar that opened at `bar_opened_at`."""

    deployment_id: int
    bar_opened_at: dt.datetime


def claim_due_deployments(
    session: Session, *, now: dt.datetime, claim_for: dt.timedelta, limit: int
) -> list[ClaimedDeployment]:
    """Claim up to `limit` due deployments until `now + claim_for`, those with the oldest last bar first.

    Due is a running deployment with a stored bar later than its last one, and no claim beyond `now`. The bar is the
    newest stored one: bars that passed meanwhile are not traded after the fact. Rows that another transaction holds
    are left to it. Commit before the runs are sent, so that no run finds its claim missing.

    Raises:
        ValueError: `claim_for` or `limit` is not above zero.
    """
    if claim_for <= dt.timedelta(0):
        raise ValueError(f"claim_for must be above 0: {claim_for}")
    if limit <= 0:
        raise ValueError(f"limit must be above 0: {limit}")
    # One descending look into the bars' primary key per (symbol, timeframe); PostgreSQL memoizes the pairs.
    newest = lateral(
        select(func.max(Bar.opened_at).label("opened_at")).where(
            Bar.symbol == Deployment.symbol, Bar.timeframe == Deployment.timeframe
        )
    )
    due = (
        select(Deployment.id, newest.c.opened_at)
        .join(newest, true())
        .where(
            Deployment.status == "running",
            or_(Deployment.claimed_until.is_(None), Deployment.claimed_until <= now),
            newest.c.opened_at.is_not(None),
            or_(Deployment.last_bar_at.is_(None), Deployment.last_bar_at < newest.c.opened_at),
        )
        .order_by(Deployment.last_bar_at.asc().nulls_first(), Deployment.id)
        .limit(limit)
        .with_for_update(of=Deployment, skip_locked=True)
        .cte("due")
    )
    claim = (
        update(Deployment)
        .where(Deployment.id == due.c.id)
        .values(claimed_until=now + claim_for)
        .returning(Deployment.id, due.c.opened_at)
        .execution_options(synchronize_session=False)
    )
    claimed = [ClaimedDeployment(deployment_id=id_, bar_opened_at=bar) for id_, bar in session.execute(claim)]
    return sorted(claimed, key=lambda each: each.deployment_id)
