"""Whoever hooked into Celery's way of publishing is called, and what comes out is what would have been put."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from celery import Celery, signals
from celery.beat import BeatLazyFunc
from celery.utils.dispatch.signal import Signal
from kombu import Exchange, Queue
from kombu.common import Broadcast
from kombu.exceptions import EncodeError, OperationalError

from packages.infra.beat.entries.entry import BeatEntry
from packages.infra.beat.messages.maker import Messages
from packages.infra.beat.messages.message import MakerAwayError
from packages.infra.beat.scheduler import AdaptiveScheduler
from tests.beat.messages.building import (
    JOB,
    app_on,
    entry_of,
    is_by_template,
    made,
    put_by_celery,
    put_meanwhile,
    puts_of,
    without,
)

DAY = datetime(2026, 1, 1, tzinfo=UTC)
QUEUES = [
    Queue("plain", Exchange("plain"), routing_key="plain"),
    Queue("all", Exchange("topic", type="topic"), routing_key="area.#"),
    Queue("some", Exchange("topic", type="topic"), routing_key="area.*"),
    Queue("told", Exchange("fanout", type="fanout"), routing_key="heard"),
    Queue("short", Exchange("short"), routing_key="short", expires=90.0),
    Broadcast("everybody"),
]


class AppliesEntries(AdaptiveScheduler):
    def apply_entry(self, entry: Any, producer: Any = None) -> None:  # noqa: ANN401  # Celery's own signature
        entry.options["headers"]["applied"] = True
        super().apply_entry(entry, producer=producer)


class Applies(AdaptiveScheduler):
    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:  # noqa: ANN401, FBT001, FBT002  # as above
        entry.args = ("applied",)
        return super().apply_async(entry, producer=producer, advance=advance, **kwargs)


class Sends(AdaptiveScheduler):
    def send_task(self, name: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # as above
        return super().send_task(f"{name}.sent", *args, **kwargs)


class SendingApp(Celery):
    def send_task(self, name: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # as above
        return super().send_task(f"{name}.of_app", *args, **kwargs)


class OwnEntry(BeatEntry):
    """Anybody's own kind of entry."""


class ClassRouter:
    def route_for_task(self, *_: object) -> dict[str, Any]:
        return {"queue": "all", "routing_key": "area.routed"}


def route(*_: object, **__: object) -> dict[str, Any]:
    return {"queue": "short", "priority": 6}


def add_header(headers: dict[str, Any], **_: object) -> None:
    headers["hooked"] = True


def listen(**_: object) -> None:
    """Anybody who wants to know."""


@contextmanager
def connected(signal: Signal, receiver: Callable[..., None], **options: Any) -> Iterator[None]:  # noqa: ANN401  # of `connect`
    signal.connect(receiver, **options)
    yield
    signal.disconnect(receiver, **options)


def hooked() -> AbstractContextManager[None]:
    return connected(signals.before_task_publish, add_header)


# What is given, and the least that has to be seen of it in the message.
CASES: dict[str, dict[str, Any]] = {
    "before_task_publish": {"within": hooked, "headers": {"hooked": True}},
    "after_task_publish": {"within": lambda: connected(signals.after_task_publish, listen)},
    "task_sent": {"within": lambda: connected(signals.task_sent, listen)},
    "apply_entry": {"scheduler": AppliesEntries, "headers": {"applied": True}},
    "apply_async": {"scheduler": Applies, "headers": {"argsrepr": "['applied']"}},
    "send_task": {"scheduler": Sends, "headers": {"task": "area.job.sent"}},
    "send_task of the app": {"app": SendingApp, "headers": {"task": "area.job.of_app"}},
    "apply_async of the task": {"entry": {"task": "area.own"}, "headers": {"shadow": "own"}},
    "shadow_name of the task": {"entry": {"task": "area.shadowed"}, "headers": {"shadow": "shadowed"}},
    "an entry of one's own": {"entry_class": OwnEntry},
    "a function that routes": {"conf": {"task_routes": (route,)}, "keys": ["mine_short:6"]},
    "a class that routes": {"conf": {"task_routes": (ClassRouter(),)}, "keys": ["mine_all", "mine_some"]},
    "BeatLazyFunc": {"entry": {"args": (1, BeatLazyFunc(lambda: "lazy"))}, "headers": {"argsrepr": "[1, 'lazy']"}},
    "BeatLazyFunc by name": {
        "entry": {"kwargs": {"n": BeatLazyFunc(lambda: 2)}},
        "headers": {"kwargsrepr": "{'n': 2}"},
    },
    "a date as argument": {"entry": {"args": (DAY,)}, "body": {"__type__": "datetime", "__value__": DAY.isoformat()}},
    "pickle": {"entry": {"options": {"serializer": "pickle"}}, "type": "application/x-python-serialize"},
    "pickle, configured": {"conf": {"task_serializer": "pickle"}, "type": "application/x-python-serialize"},
    "yaml": {"entry": {"options": {"serializer": "yaml"}}, "type": "application/x-yaml"},
    "compression": {"entry": {"options": {"compression": "zlib"}}, "headers": {"compression": "application/x-gzip"}},
    "fanout": {"within": hooked, "entry": {"options": {"queue": "told"}}, "keys": ["mine_/3.fanout/heard"]},
    "topic": {
        "within": hooked,
        "entry": {"options": {"queue": "all", "routing_key": "area.job"}},
        "keys": ["mine_all", "mine_some"],
    },
    "a broadcast that nobody has declared": {"entry": {"options": {"queue": "everybody"}}, "keys": []},
    "a queue that expires": {"within": hooked, "entry": {"options": {"queue": "short"}}, "keys": ["mine_short"]},
    "an exchange object": {
        "entry": {"options": {"exchange": Exchange("topic", type="topic"), "routing_key": "area.x"}}
    },
    "the first protocol": {"conf": {"task_protocol": 1}},
    "an option that is not known": {"entry": {"options": {"group_id": "g"}}, "headers": {"group": "g"}},
    "a header of Celery's own": {"entry": {"options": {"headers": {"lang": "xx"}}}, "headers": {"lang": "xx"}},
    "an id that needs a quote": {"entry": {"options": {"task_id": 'a"b'}}, "headers": {"id": 'a"b'}},
    "expired already": {"entry": {"options": {"expires": DAY}}, "headers": {"expires": DAY.isoformat()}},
    "a body that is not coded": {"options": {"body_encoding": "utf-8"}},
}


def make_scheduler(url: str, case: dict[str, Any]) -> AdaptiveScheduler:
    app = case.get("app", Celery)("test", broker=url, set_as_current=False)
    app.conf.update(app_on(url).conf.changes)
    app.conf.update(
        timezone="UTC",
        task_queues=QUEUES,
        task_default_queue="plain",
        broker_transport_options={
            "priority_steps": [0, 3, 6, 9],
            "sep": ":",
            "global_keyprefix": "mine_",
            **case.get("options", {}),
        },
        **case.get("conf", {}),
    )

    class Own(app.Task):  # type: ignore[misc, name-defined]  # a class that the app makes
        def apply_async(self, *args: object, **options: object) -> object:
            return super().apply_async(*args, **{**options, "shadow": "own"})

    class Shadowed(app.Task):  # type: ignore[misc, name-defined]  # as above
        def shadow_name(self, *_: object) -> str:
            return "shadowed"

    app.task(name="area.own", base=Own, shared=False)(listen)
    app.task(name="area.shadowed", base=Shadowed, shared=False)(listen)
    with app.connection_for_write() as connection:
        for queue in QUEUES[:-1]:
            queue(connection.default_channel).declare()
    scheduler: AdaptiveScheduler = case.get("scheduler", AdaptiveScheduler)(app)
    scheduler.Entry = case.get("entry_class", scheduler.Entry)
    return scheduler


@pytest.fixture
def url(redis_url: str) -> str:
    return f"{redis_url.rpartition('/')[0]}/3"


@pytest.mark.parametrize("name", CASES)
def test_it_is_what_celery_puts(url: str, name: str) -> None:
    case = CASES[name]
    scheduler = make_scheduler(url, case)
    messages = Messages(scheduler)
    with case.get("within", nullcontext)():
        entry = entry_of(scheduler, **case.get("entry", {}))
        for _ in range(2):
            message = made(messages, entry)
            assert not is_by_template(message)
            # All that comes to the broker is of this one, and nothing of the one that was made.
            expected = put_by_celery(scheduler, url, entry)
            puts = puts_of(message)
            assert without(puts) == without(expected)
            for put in puts:
                assert put.message["content-type"] == case.get("type", "application/json")
                assert {**put.headers, **case.get("headers", {})} == put.headers
                if "body" in case:
                    assert put.message["body"][0] == [case["body"]]
            if "keys" in case:
                assert [put.key for put in puts] == case["keys"]
    scheduler.close()


def test_a_lazy_argument_is_asked_for_each_message(url: str) -> None:
    scheduler, numbers = make_scheduler(url, {}), count()
    entry = entry_of(scheduler, args=(BeatLazyFunc(lambda: next(numbers)),))
    messages = Messages(scheduler)
    assert [puts_of(made(messages, entry))[0].message["body"][0] for _ in range(3)] == [[0], [1], [2]]
    scheduler.close()


def test_an_event_goes_with_the_message(url: str) -> None:
    scheduler = make_scheduler(url, {"conf": {"task_send_sent_event": True}})
    message = made(Messages(scheduler), entry_of(scheduler, options={"queue": "plain"}))
    task, event = puts_of(message)
    assert (task.key, task.headers["task"]) == ("mine_plain", "area.job")
    assert (event.key, event.is_fanout) == ("mine_/3.celeryev/task.sent", True)
    assert event.message["body"]["type"] == "task-sent"
    assert event.message["body"]["uuid"] == task.headers["id"] == message.task_id
    scheduler.close()


def test_a_queue_that_expires_is_kept_alive(url: str) -> None:
    scheduler = make_scheduler(url, {})
    with hooked():
        [push] = made(Messages(scheduler), entry_of(scheduler, options={"queue": "short", "priority": 3})).pushes
    assert push.route.key == "mine_short:3"
    keys = ("mine_short", "mine_short:3", "mine_short:6", "mine_short:9")
    assert push.route.expires == tuple((key, 90_000) for key in keys)
    scheduler.close()


def test_what_somebody_publishes_by_himself_is_out_already(url: str) -> None:
    class OwnWay(AdaptiveScheduler):
        def apply_entry(self, entry: Any, producer: Any = None) -> None:  # noqa: ANN401, ARG002  # Celery's own signature
            self.app.send_task(entry.task, queue="plain", **entry.options)

    scheduler = make_scheduler(url, {"scheduler": OwnWay})
    found: list[Any] = []
    puts = put_meanwhile(url, lambda: found.append(made(Messages(scheduler), entry_of(scheduler))))
    assert [put.headers["beat_job"] for put in puts] == [JOB]
    assert (found[0].pushes, found[0].accepted) == ((), None)
    scheduler.close()


def test_eager_tasks_run_at_once(url: str) -> None:
    scheduler = make_scheduler(url, {"conf": {"task_always_eager": True}})
    ran: list[int] = []

    @scheduler.app.task(name="area.eager", shared=False)
    def eager(number: int) -> None:
        ran.append(number)

    message = made(Messages(scheduler), entry_of(scheduler, task="area.eager", args=(1,)))
    assert (message.pushes, ran) == ((), [1])
    scheduler.close()


def test_what_is_wrong_with_a_message_is_raised(url: str) -> None:
    def no_route(*_: object, **__: object) -> None:
        raise LookupError("no way")

    scheduler = make_scheduler(url, {"conf": {"task_routes": (no_route,)}})
    with pytest.raises(LookupError, match="no way"):
        made(Messages(scheduler), entry_of(scheduler))
    scheduler.close()
    scheduler = make_scheduler(url, {})
    with pytest.raises(EncodeError):
        made(Messages(scheduler), entry_of(scheduler, args=(object(),)))
    assert is_by_template(made(Messages(scheduler), entry_of(scheduler)))
    scheduler.close()


def test_a_scheduler_that_raises_out_of_apply_entry(url: str) -> None:
    class Raises(AdaptiveScheduler):
        def apply_entry(self, entry: Any, producer: Any = None) -> None:  # noqa: ANN401  # Celery's own signature
            super().apply_entry(entry, producer=producer)
            raise RuntimeError("afterwards")

    scheduler = make_scheduler(url, {"scheduler": Raises})
    with pytest.raises(RuntimeError, match="afterwards"):
        made(Messages(scheduler), entry_of(scheduler))
    scheduler.close()


def test_a_broker_that_is_away() -> None:
    scheduler = AdaptiveScheduler(app_on("redis://127.0.0.1:1/0"))
    messages = Messages(scheduler)
    for _ in range(2):
        with pytest.raises(MakerAwayError) as caught:
            made(messages, entry_of(scheduler))
        assert isinstance(caught.value.__cause__, OperationalError)
    scheduler.close()


def test_what_others_send_meanwhile_is_sent(url: str) -> None:
    """A receiver that publishes something else, through a producer of its own."""
    scheduler = make_scheduler(url, {})
    sent: list[Any] = []

    def also_send(headers: dict[str, Any], **_: object) -> None:
        if headers["task"] == "area.job":
            sent.append(scheduler.app.send_task("area.another", queue="plain"))

    with ExitStack() as stack:
        stack.enter_context(connected(signals.before_task_publish, also_send))
        found: list[Any] = []
        puts = put_meanwhile(url, lambda: found.append(made(Messages(scheduler), entry_of(scheduler))))
    assert [put.headers["task"] for put in puts] == ["area.another"]
    assert [put.headers["task"] for put in puts_of(found[0])] == ["area.job"]
    scheduler.close()
