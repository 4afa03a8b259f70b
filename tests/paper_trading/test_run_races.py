"""The same bar is traded once, whoever comes at the same time, and a deployment's runs agree with its backtest."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.domain.backtest.simulation import simulate
from packages.domain.paper_trading.models import Deployment
from packages.domain.paper_trading.run_outcome import RunOutcome
from packages.domain.paper_trading.strategies.registry import make_strategy
from tests.paper_trading.races import race
from tests.paper_trading.trading_world import (
    FEE_RATE,
    add_deployment,
    add_strategy,
    bar_values,
    fills_of,
    position_of,
    run_on,
    store_closes,
)


@pytest.fixture
def deployment_id(engine: sa.Engine) -> int:
    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10, 12])
        return add_deployment(session)


def test_the_second_of_two_runs_of_a_bar_finds_it_done(engine: sa.Engine, deployment_id: int) -> None:
    first, second = race(
        engine,
        first=lambda session: run_on(session, deployment_id, 1),
        second=lambda session: run_on(session, deployment_id, 1),
    )
    assert first.outcome is RunOutcome.TRADED
    assert second.result().outcome is RunOutcome.ALREADY_DONE
    with Session(engine) as session:
        assert len(fills_of(session, deployment_id)) == 1
        assert session.get_one(Deployment, deployment_id).cash == Decimal("499.5")


def test_when_the_first_run_is_undone_the_second_trades(engine: sa.Engine, deployment_id: int) -> None:
    _, second = race(
        engine,
        first=lambda session: run_on(session, deployment_id, 1),
        second=lambda session: run_on(session, deployment_id, 1),
        first_commits=False,
    )
    assert second.result().outcome is RunOutcome.TRADED
    with Session(engine) as session:
        assert len(fills_of(session, deployment_id)) == 1


def test_a_late_run_of_an_older_bar_finds_the_newer_one_done(engine: sa.Engine, deployment_id: int) -> None:
    _, second = race(
        engine,
        first=lambda session: run_on(session, deployment_id, 2),
        second=lambda session: run_on(session, deployment_id, 1),
    )
    assert second.result().outcome is RunOutcome.ALREADY_DONE
    with Session(engine) as session:
        assert len(fills_of(session, deployment_id)) == 1


def test_of_many_workers_with_one_message_one_trades(engine: sa.Engine, deployment_id: int) -> None:
    def work(_: int) -> RunOutcome:
        with Session(engine) as session, session.begin():
            return run_on(session, deployment_id, 1).outcome

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(work, range(16)))
    assert sorted(outcomes) == [RunOutcome.ALREADY_DONE] * 15 + [RunOutcome.TRADED]


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("moving_average_cross", {"fast_bars": 2, "slow_bars": 5, "position_fraction": 0.8}),
        ("mean_reversion", {"window_bars": 5, "entry_deviations": 0.7, "position_fraction": 1}),
    ],
)
def test_bar_by_bar_a_deployment_does_what_the_backtest_does(
    engine: sa.Engine, kind: str, parameters: dict[str, float]
) -> None:
    closes = [100 + (index * 37) % 23 + (index // 10) * 3 - (index * index) % 7 for index in range(60)]
    steps = list(
        simulate(
            make_strategy(kind, parameters), bars=bar_values(closes), initial_cash=Decimal(1000), fee_rate=FEE_RATE
        )
    )
    with Session(engine) as session, session.begin():
        store_closes(session, closes)
        deployment_id = add_deployment(session, strategy_id=add_strategy(session, kind, parameters))
    for index, step in enumerate(steps):
        with Session(engine) as session, session.begin():
            outcome = run_on(session, deployment_id, index).outcome
            assert (outcome is RunOutcome.TRADED) == (step.execution is not None)
            assert session.get_one(Deployment, deployment_id).cash == step.portfolio.cash
    with Session(engine) as session:
        trades = [step.execution for step in steps if step.execution is not None]
        assert len(trades) > 4
        assert [(fill.quantity, fill.price, fill.fee) for fill in fills_of(session, deployment_id)] == [
            (trade.quantity, trade.price, trade.fee) for trade in trades
        ]
        position = position_of(session, deployment_id)
        assert position is not None
        assert position.quantity == steps[-1].portfolio.quantity
        assert position.realized_profit == steps[-1].portfolio.realized_profit
