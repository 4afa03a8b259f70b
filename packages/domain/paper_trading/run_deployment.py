"""One deployment decides on one bar, and trades on paper. Never sends, never commits: the caller owns the transaction.

Everything is written in that one transaction: order, fill, position, cash, `last_bar_at` and the released claim. The
deployment's row is locked first and `last_bar_at` read after that, so of two runs for a bar the second finds it done;
the unique (deployment, bar) of orders stands behind it. A run that fails leaves nothing, and its claim makes the
deployment due again. This holds under READ COMMITTED, PostgreSQL's default.
"""

import datetime as dt
import logging
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from packages.domain.market_data.bars import stored_bars
from packages.domain.paper_trading.approval_port import AskApproval
from packages.domain.paper_trading.decision import decide_trade, plain_bar
from packages.domain.paper_trading.errors import StrategyError
from packages.domain.paper_trading.execution import SizedOrder
from packages.domain.paper_trading.models import Deployment, Order, Strategy
from packages.domain.paper_trading.run_outcome import RunOutcome, RunResult
from packages.domain.paper_trading.settlement import load_portfolio, lock_deployment, settle
from packages.domain.paper_trading.strategies.base import TradingStrategy
from packages.domain.paper_trading.strategies.registry import make_strategy

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """One bar, and the terms that came from outside."""

    bar_opened_at: dt.datetime
    now: dt.datetime
    fee_rate: Decimal
    approval_valid_for: dt.timedelta
    ask_approval: AskApproval
    interrupts: tuple[type[BaseException], ...]

    def __post_init__(self) -> None:
        if self.bar_opened_at.utcoffset() is None or self.now.utcoffset() is None:
            raise ValueError("bar_opened_at and now must carry a time zone")
        if not 0 <= self.fee_rate < 1:
            raise ValueError(f"fee_rate must lie in [0, 1): {self.fee_rate}")
        if self.approval_valid_for <= dt.timedelta(0):
            raise ValueError(f"approval_valid_for must be above 0: {self.approval_valid_for}")


@dataclass(frozen=True, slots=True)
class _Verdict:
    outcome: RunOutcome
    reason: str
    order_id: int | None = None


def run_deployment(  # noqa: PLR0913 - a deployment, a bar, the terms and the port, all by name
    session: Session,
    *,
    deployment_id: int,
    bar_opened_at: dt.datetime,
    now: dt.datetime,
    fee_rate: Decimal,
    approval_valid_for: dt.timedelta,
    ask_approval: AskApproval,
    interrupts: tuple[type[BaseException], ...] = (),
) -> RunResult:
    """Let the deployment decide on the stored bar that opened at `bar_opened_at`; orders fill at that bar's close.

    An order whose notional is above the deployment's `order_limit` waits for an approval, which can be given until
    `now + approval_valid_for`; while one waits, no other order is made. `fee_rate` is a fraction of the notional in
    [0, 1). What is wrong with a deployment's strategy does not raise: it goes into `last_error`, the bar counts as
    decided, and the next bar tries again. Exceptions of the types `interrupts` are the caller's way to stop the run:
    they pass, and the bar is not decided. Repeating a call is harmless.

    Raises:
        ValueError: `fee_rate` or `approval_valid_for` is out of range, or an instant is naive.
    """
    run = _Run(
        bar_opened_at=bar_opened_at,
        now=now,
        fee_rate=fee_rate,
        approval_valid_for=approval_valid_for,
        ask_approval=ask_approval,
        interrupts=interrupts,
    )
    deployment = lock_deployment(session, deployment_id)
    if deployment is None:
        verdict = _Verdict(RunOutcome.NOT_RUNNING, f"there is no deployment {deployment_id}")
    else:
        verdict = _refusal(deployment, run) or _decide(session, deployment, run)
        _note(deployment, run, verdict)
        session.flush()
    result = RunResult(
        deployment_id=deployment_id,
        bar_opened_at=bar_opened_at,
        outcome=verdict.outcome,
        reason=verdict.reason,
        order_id=verdict.order_id,
    )
    _log(result)
    return result


def _refusal(deployment: Deployment, run: _Run) -> _Verdict | None:
    """Why the bar is not to be decided on at all; None when it is."""
    if deployment.last_bar_at is not None and deployment.last_bar_at >= run.bar_opened_at:
        return _Verdict(RunOutcome.ALREADY_DONE, f"decided up to the bar of {deployment.last_bar_at.isoformat()}")
    if deployment.status != "running":
        return _Verdict(RunOutcome.NOT_RUNNING, f"the deployment is {deployment.status}")
    return None


def _decide(session: Session, deployment: Deployment, run: _Run) -> _Verdict:
    waiting = session.scalars(
        select(Order.id).where(Order.deployment_id == deployment.id, Order.status == "pending_approval").limit(1)
    ).one_or_none()
    if waiting is not None:
        return _Verdict(RunOutcome.APPROVAL_PENDING, f"order {waiting} waits for an approval")
    stored = session.get_one(Strategy, deployment.strategy_id, populate_existing=True)
    try:
        strategy = make_strategy(stored.kind, stored.parameters)
    except StrategyError as error:
        return _Verdict(RunOutcome.STRATEGY_FAILED, str(error))
    return _decide_by(strategy, session, deployment, run)


def _decide_by(strategy: TradingStrategy, session: Session, deployment: Deployment, run: _Run) -> _Verdict:
    rows = stored_bars(
        session,
        symbol=deployment.symbol,
        timeframe=deployment.timeframe,
        until=run.bar_opened_at,
        limit=strategy.warm_up_bars,
    )
    if not rows or rows[-1].opened_at != run.bar_opened_at:
        return _Verdict(RunOutcome.BAR_MISSING, f"no bar of {deployment.symbol} opened then is stored")
    portfolio = load_portfolio(session, deployment)
    bars = [plain_bar(row) for row in rows]
    try:
        decision = decide_trade(strategy, bars=bars, portfolio=portfolio, fee_rate=run.fee_rate)
    except run.interrupts:
        raise
    except Exception as error:
        # A strategy is anyone's code, and pure: whatever it raises is this deployment's alone, and must not be retried.
        log.exception("paper_trading_strategy_raised", extra={"deployment_id": deployment.id, "kind": strategy.kind})
        return _Verdict(RunOutcome.STRATEGY_FAILED, f"strategy {strategy.kind}: {type(error).__name__}: {error}")
    if not decision.enough_bars:
        return _Verdict(RunOutcome.TOO_FEW_BARS, decision.reason)
    if decision.order is None:
        return _Verdict(RunOutcome.NO_TRADE, decision.reason)
    return _place(session, deployment, run, order=decision.order, price=bars[-1].close, reason=decision.reason)


def _place(  # noqa: PLR0913 - where, for whom, and the order's three columns
    session: Session, deployment: Deployment, run: _Run, *, order: SizedOrder, price: Decimal, reason: str
) -> _Verdict:
    needs_approval = order.notional(price) > deployment.order_limit
    written = session.scalars(
        insert(Order)
        .values(
            deployment_id=deployment.id,
            bar_opened_at=run.bar_opened_at,
            side=order.side.value,
            quantity=order.quantity,
            reference_price=price,
            status="pending_approval" if needs_approval else "filled",
            reason=reason,
            created_at=run.now,
        )
        # Only a `last_bar_at` that was set back by hand leads here twice.
        .on_conflict_do_nothing(index_elements=[Order.deployment_id, Order.bar_opened_at])
        .returning(Order)
    ).one_or_none()
    if written is None:
        deployment.last_bar_at = run.bar_opened_at
        return _Verdict(RunOutcome.ALREADY_DONE, "an order for this bar is there already")
    if needs_approval:
        run.ask_approval(
            session, order=written, deployment=deployment, now=run.now, expires_at=run.now + run.approval_valid_for
        )
        reason = f"the order is above the limit of {deployment.order_limit.normalize():f}; {reason}"
        return _Verdict(RunOutcome.ASKED_FOR_APPROVAL, reason, written.id)
    settle(session, deployment=deployment, order=written, price=price, fee_rate=run.fee_rate, now=run.now)
    return _Verdict(RunOutcome.TRADED, reason, written.id)


def _note(deployment: Deployment, run: _Run, verdict: _Verdict) -> None:
    """Move `last_bar_at`, keep or clear `last_error`, release the claim."""
    if verdict.outcome is RunOutcome.ALREADY_DONE:
        # A claim that stands now may belong to a run for a later bar.
        return
    deployment.claimed_until = None
    if verdict.outcome.decides_bar:
        deployment.last_bar_at = run.bar_opened_at
        deployment.last_error = verdict.reason if verdict.outcome is RunOutcome.STRATEGY_FAILED else None


def _log(result: RunResult) -> None:
    log.log(
        logging.WARNING if result.outcome.needs_attention else logging.INFO,
        "paper_trading_deployment_run",
        extra={
            "deployment_id": result.deployment_id,
            "bar_opened_at": result.bar_opened_at.isoformat(),
            "outcome": result.outcome.value,
            "reason": result.reason,
            "order_id": result.order_id,
        },
    )
