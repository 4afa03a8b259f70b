"""A worker's reports: made at once and again, whatever becomes of one of them, and silent while a server is away."""

import logging
import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa
from celery import Celery
from sqlalchemy.orm import Session

from packages.domain.market_data.models import Subscription
from packages.infra.queue.active_markets import ActiveMarketsStore
from packages.infra.queue.broker_redis import open_broker_redis
from packages.infra.queue.outages import TRIED_AGAIN_AFTER, Errand
from packages.infra.queue.running_signals import present
from packages.infra.queue.worker_reports import Report, Reporter, reports_of

PATIENCE_S = 30.0
OFTEN = timedelta(milliseconds=1)


def test_reports_are_made_again_until_stopped_and_one_that_raises_does_not_matter(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made_often = threading.Event()
    made: list[int] = []

    def wrong() -> None:
        raise ValueError("a bug")

    def right() -> None:
        made.append(1)
        if len(made) == 3:
            made_often.set()

    reporter = Reporter([Report(OFTEN, wrong), Report(OFTEN, right)])
    reporter.start()
    assert made_often.wait(PATIENCE_S)
    reporter.stop()
    count = len(made)
    assert "report_failed" in caplog.text
    assert not [thread for thread in threading.enumerate() if thread.name == "minsy-report"]
    assert len(made) == count


def test_the_markets_of_the_active_subscriptions_are_told(engine: sa.Engine, redis_url: str) -> None:
    with Session(engine) as session, session.begin():
        session.add_all(
            [
                Subscription(symbol="AAPL", exchange="XNYS"),
                Subscription(symbol="MSFT", exchange="XNYS"),
                Subscription(symbol="BTC/USD", exchange="24/7"),
                Subscription(symbol="7203", exchange="XTKS", is_active=False),
            ]
        )
    app = Celery("minsy", broker=redis_url)
    [_, markets] = reports_of(app, engine.url.render_as_string(hide_password=False))
    markets.tell()
    redis = open_broker_redis(app)
    assert redis is not None
    reading = ActiveMarketsStore(redis).read(present())
    assert reading is not None
    assert reading.value == {"XNYS", "24/7"}


def test_a_worker_without_market_data_tells_of_its_runs_alone() -> None:
    assert len(reports_of(Celery("minsy", broker="memory://"), None)) == 1


def test_a_database_that_is_away_is_told_of_once(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app = Celery("minsy", broker=redis_url)
    [_, markets] = reports_of(app, "postgresql://minsy:hunter2@127.0.0.1:1/minsy")
    for _ in range(3):
        markets.tell()
    [record] = [record for record in caplog.records if record.message == "errand_failed"]
    assert vars(record)["errand"] == "active_markets_report"
    assert "hunter2" not in str(vars(record))


def test_an_errand_that_failed_is_left_for_a_while_and_then_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = [100.0]
    errand = Errand("letters", (OSError,), monotonic=lambda: clock[0])
    tried: list[float] = []

    def fail() -> None:
        tried.append(clock[0])
        raise OSError("away")

    wait_s = TRIED_AGAIN_AFTER.total_seconds()
    for at in (100.0, 100.0 + wait_s - 0.1, 100.0 + wait_s, 100.0 + wait_s):
        clock[0] = at
        assert not errand.run(fail)
    assert tried == [100.0, 100.0 + wait_s]
    clock[0] += wait_s
    assert errand.run(lambda: None)
    assert errand.run(lambda: None)
    assert [record.message for record in caplog.records] == ["errand_failed", "errand_works_again"]


def test_an_errand_lets_through_what_is_not_its_own() -> None:
    def wrong() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        Errand("letters", (OSError,)).run(wrong)
