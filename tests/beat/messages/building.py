"""A scheduler whose messages are made and compared with those that Celery puts into the same broker."""

import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
from celery import Celery
from celery.beat import ScheduleEntry

from packages.infra.beat.celery_host import CeleryHost
from packages.infra.beat.messages.fire_ids import task_id_of
from packages.infra.beat.messages.maker import Messages
from packages.infra.beat.messages.message import Message, Pieces
from packages.infra.beat.messages.publishing import stamped
from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.instants import to_datetime, to_instant
from packages.scheduling.model import Criticality, Job
from packages.scheduling.plan import Fire
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.stepped import NOON

NOW = to_instant(NOON) + 123
TERM = 7
JOB = 'area."job" ü'


@dataclass(frozen=True)
class Put:
    """One delivery: where to, and the message. `expires_ms` has what was left of each of the keys' time to live."""

    key: str
    is_fanout: bool
    message: dict[str, Any]

    @property
    def headers(self) -> dict[str, Any]:
        found: dict[str, Any] = self.message["headers"]
        return found

    @property
    def properties(self) -> dict[str, Any]:
        found: dict[str, Any] = self.message["properties"]
        return found


def app_on(url: str, **conf: object) -> Celery:
    app = Celery("test", broker=url, set_as_current=False)
    app.conf.update({"timezone": "Europe/Berlin", **conf})
    return app


def entry_of(host: CeleryHost, name: str = JOB, **given: object) -> ScheduleEntry:
    return host.make_entry(name, {"task": "area.job", "schedule": 60.0, **given})


def fire_of(name: str = JOB, *, nominal: int = NOW - 123, late_ms: int = 50, origin: str = "schedule") -> Fire:
    job = Job(
        name=name, task="area.job", trigger=IntervalTrigger(60_000), queue="area", criticality=Criticality.CRITICAL
    )
    decision = Decision(name, nominal, nominal + late_ms, origin, nominal + late_ms, Verdict.FIRE, Reason.ON_TIME)
    return Fire(job, decision)


def made(messages: Messages, entry: ScheduleEntry, fire: Fire | None = None, *, at: int = NOW) -> Message:
    """A message in one piece."""
    fire = fire or fire_of(entry.name or "")
    found = messages.make(fire, entry, term=TERM, published_at=at, task_id=id_of(fire))
    return found.whole(id_of(fire)) if isinstance(found, Pieces) else found


def id_of(fire: Fire) -> str:
    return task_id_of(fire.decision.job, fire.decision.nominal, fire.decision.origin)


def is_by_template(message: Message) -> bool:
    """A payload of kombu begins with the body, one of a template with what is the same for all."""
    return all(push.payload.startswith('{"content-') for push in message.pushes) and bool(message.pushes)


def puts_of(message: Message) -> list[Put]:
    return _sorted([Put(push.route.key, push.route.is_fanout, _read(push.payload)) for push in message.pushes])


def put_by_celery(host: CeleryHost, url: str, entry: ScheduleEntry, fire: Fire | None = None) -> list[Put]:
    """Publish as Celery does, and take what came to the server."""
    fire = fire or fire_of(entry.name or "")

    def publish() -> None:
        error = host.publish(stamped(entry, fire.decision, to_datetime(NOW), term=TERM))
        assert error is None

    return put_meanwhile(url, publish)


def put_meanwhile(url: str, action: Callable[[], object]) -> list[Put]:
    """What comes to the server's lists and channels while `action` runs; the lists are empty afterwards."""
    with redis.Redis.from_url(url, decode_responses=True) as client, client.pubsub() as listener:
        listener.psubscribe("*")
        listener.get_message(timeout=5)
        action()
        puts: list[Put] = []
        while told := listener.get_message(timeout=0.05):
            puts.append(Put(told["channel"], is_fanout=True, message=_read(told["data"])))
        for key in client.scan_iter(_type="list"):
            puts += [Put(key, is_fanout=False, message=_read(payload)) for payload in client.lrange(key, 0, -1)]
            client.delete(key)
    return _sorted(puts)


def without(puts: list[Put], *counted: str) -> list[Put]:
    """The same without what is one of its kind, or counted from a now of its own."""
    for put in puts:
        assert isinstance(put.properties.pop("delivery_tag"), str)
        for name in counted:
            if name == "expiration":
                assert int(put.properties.pop(name)) >= 0
            else:
                assert isinstance(put.headers.pop(name), str)
    return puts


def _read(payload: str) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(payload)
    body: Any = message["body"]
    if message["properties"]["body_encoding"] == "base64":
        body = b64decode(body)
    is_text = message["content-type"] == "application/json" and "compression" not in message["headers"]
    message["body"] = json.loads(body) if is_text else body
    return message


def _sorted(puts: list[Put]) -> list[Put]:
    return sorted(puts, key=lambda put: (put.is_fanout, put.key))
