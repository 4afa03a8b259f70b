"""Two real transactions on the same rows: the second is seen to wait for the first before that one ends."""

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

GIVE_UP_AFTER_S = 60.0

First = TypeVar("First")
Second = TypeVar("Second")


def race(
    engine: sa.Engine,
    *,
    first: Callable[[Session], First],
    second: Callable[[Session], Second],
    first_commits: bool = True,
) -> tuple[First, Future[Second]]:
    """Run `first`, then `second` in another transaction until it waits for a lock; end the first, then the second.

    The second commits when it did not raise; the future has what it returned or raised.
    """
    backend: queue.SimpleQueue[int] = queue.SimpleQueue()

    def contend() -> Second:
        with Session(engine) as session, session.begin():
            backend.put(session.scalars(sa.text("SELECT pg_backend_pid()")).one())
            return second(session)

    # The session is closed before the pool is waited for, so that a failure in here ends the contender as well.
    with ThreadPoolExecutor(1) as pool, Session(engine) as session:
        result = first(session)
        session.flush()
        contender = pool.submit(contend)
        _wait_until_blocked(engine, backend.get(timeout=GIVE_UP_AFTER_S), contender)
        if first_commits:
            session.commit()
        else:
            session.rollback()
    return result, contender


def give_up_on_locks(session: Session) -> None:
    """From here to the transaction's end, waiting for a lock is an error and not a test that hangs."""
    session.execute(sa.text("SET LOCAL lock_timeout = '10s'"))


def _wait_until_blocked(engine: sa.Engine, backend: int, contender: "Future[Second]") -> None:
    query = sa.text("SELECT cardinality(pg_blocking_pids(:backend)) > 0").bindparams(backend=backend)
    give_up_at = time.monotonic() + GIVE_UP_AFTER_S
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.scalar(query):
            assert not contender.done(), "the second did not wait for the first"
            assert time.monotonic() < give_up_at, "the second neither waits nor ends"
            time.sleep(0.01)
