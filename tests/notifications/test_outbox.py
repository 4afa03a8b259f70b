import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from packages.domain.notifications.models import Notification
from packages.domain.notifications.outbox import enqueue

NOW = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)


def put(session: Session, key: str, body: str = "text") -> bool:
    return enqueue(
        session,
        idempotency_key=key,
        channel="email",
        recipient="ann@example.com",
        subject="Order filled",
        body=body,
        now=NOW,
    )


def test_a_key_is_written_once(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        assert put(session, "order:1", "first") is True
        assert put(session, "order:1", "second") is False
        assert put(session, "order:2") is True
    with Session(engine) as session:
        row = session.scalars(select(Notification).where(Notification.idempotency_key == "order:1")).one()
        assert (row.body, row.status, row.attempts, row.next_attempt_at) == ("first", "pending", 0, NOW)


def test_a_message_lives_and_dies_with_its_transaction(engine: Engine) -> None:
    with Session(engine) as session:
        put(session, "order:1")
        session.rollback()
    with Session(engine) as session:
        assert session.scalars(select(Notification)).all() == []


def test_two_writers_of_one_key_at_once(engine: Engine) -> None:
    meet = threading.Barrier(2)

    def write() -> bool:
        with Session(engine) as session, session.begin():
            meet.wait(timeout=30)
            return put(session, "order:1")

    with ThreadPoolExecutor(2) as pool:
        written = [run.result(timeout=60) for run in [pool.submit(write) for _ in range(2)]]
    assert sorted(written) == [False, True]
