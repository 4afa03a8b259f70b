"""Each message of a template is, field by field, what Celery puts into the same broker for the same entry."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from kombu import Exchange, Queue

from packages.infra.beat.messages.fire_ids import task_id_of
from packages.infra.beat.messages.maker import Messages
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.scheduling.instants import MINUTE_MS, to_datetime
from tests.beat.messages.building import (
    JOB,
    NOW,
    app_on,
    entry_of,
    fire_of,
    is_by_template,
    made,
    put_by_celery,
    puts_of,
    without,
)

BERLIN = ZoneInfo("Europe/Berlin")
FAR = datetime(2035, 6, 1, 12, 0, tzinfo=BERLIN)
QUEUES = [
    Queue("plain", Exchange("plain"), routing_key="plain"),
    Queue("named", Exchange("direct", type="direct"), routing_key="own"),
    Queue("named_too", Exchange("direct", type="direct"), routing_key="own"),
    Queue("all", Exchange("topic", type="topic"), routing_key="area.#"),
    Queue("some", Exchange("topic", type="topic"), routing_key="area.*"),
    Queue("told", Exchange("fanout", type="fanout"), routing_key="heard"),
    Queue("short", Exchange("short"), routing_key="short", expires=90.0),
]
PLAIN: dict[str, Any] = {"options": {"queue": "plain"}}

# An entry, and what is counted from the instant of publishing in its message.
TABLE: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "nothing": ({}, ()),
    "arguments": ({"args": (5,), "kwargs": {"n": 1, "text": "it's"}}, ()),
    "a list": ({"args": [5]}, ()),
    "unicode": ({"args": ("ü€😀\n\\", 'a"b'), "kwargs": {"ключ": "значение"}}, ()),
    "nested": ({"args": ({"a": [1, (2.5, None, True)]}, [[[[["deep"]]]]]), "kwargs": {"b": {"c": "d'e"}}}, ()),
    "long": ({"args": ("word " * 400, 1), "kwargs": {f"key {n}": n for n in range(300)}}, ()),
    "floats": ({"args": (0.1, 1e300, -0.0, float("inf"))}, ()),
    "queue": (PLAIN, ()),
    "expires int": ({"options": {"queue": "plain", "expires": 60}}, ("expires",)),
    "expires float": ({"options": {"expires": 0.25}}, ("expires",)),
    "expires at once": ({"options": {"expires": 0}}, ("expires",)),
    "expires datetime": ({"options": {"expires": FAR}}, ("expiration",)),
    "expires naive": ({"options": {"expires": FAR.replace(tzinfo=None)}}, ("expiration",)),
    "expires text": ({"options": {"expires": "2035-06-01T12:00:00+02:00"}}, ("expiration",)),
    "expires never": ({"options": {"expires": None}}, ()),
    "countdown": ({"options": {"countdown": 30}}, ("eta",)),
    "countdown and expires": ({"options": {"countdown": 1.5, "expires": 90.5}}, ("eta", "expires")),
    "no countdown": ({"options": {"countdown": 0}}, ()),
    "eta": ({"options": {"eta": FAR}}, ()),
    "eta text": ({"options": {"eta": "2035-06-01T12:00:00"}}, ()),
    "priority": ({"options": {"priority": 5}}, ()),
    "headers": ({"options": {"headers": {"mine": {"a": [1, "ü"]}, "beat_job": "not mine"}}}, ()),
    "exchange": ({"options": {"exchange": "direct", "routing_key": "own"}}, ()),
    "topic queue": ({"options": {"queue": "all", "routing_key": "area.job.more"}}, ()),
    "fanout": ({"options": {"queue": "told"}}, ()),
    "queue that expires": ({"options": {"queue": "short", "priority": 9}}, ()),
    "ignore_result": ({"options": {"ignore_result": True}}, ()),
    "time limits": ({"options": {"time_limit": 30, "soft_time_limit": 20.5}}, ()),
    "shadow": ({"options": {"shadow": "another name"}}, ()),
    "own id": ({"options": {"task_id": "my-own-id"}}, ()),
    "no own id": ({"options": {"task_id": ""}}, ()),
    "delivery mode": ({"options": {"delivery_mode": 1}}, ()),
    "retry": ({"options": {"retry": True, "retry_policy": {"max_retries": 0}}}, ()),
    "serializer": ({"options": {"serializer": "json"}}, ()),
    "routed by a glob": ({"task": "globbed.job"}, ()),
    "registered": ({"task": "area.registered", "args": (1, 2)}, ("expires",)),
    "registered, with options": ({"task": "area.registered", "args": (1, 2), "options": {"expires": None}}, ()),
}


def make_app(url: str) -> Celery:
    app = app_on(
        url,
        task_queues=QUEUES,
        task_default_queue="plain",
        task_routes={"globbed.*": {"queue": "named", "priority": 3}},
        broker_transport_options={"priority_steps": [0, 3, 6, 9], "sep": ":", "global_keyprefix": "mine_"},
    )

    @app.task(name="area.registered", shared=False, expires=33, time_limit=5)
    def registered(first: int, second: int) -> None:
        raise NotImplementedError

    return app


def declare(app: Celery) -> None:
    """What the workers of these queues do when they start."""
    with app.connection_for_write() as connection:
        for queue in QUEUES:
            queue(connection.default_channel).declare()


@pytest.fixture
def scheduler(redis_url: str) -> AdaptiveScheduler:
    app = make_app(f"{redis_url.rpartition('/')[0]}/3")
    declare(app)
    return AdaptiveScheduler(app)


@pytest.fixture
def url(scheduler: AdaptiveScheduler) -> str:
    return str(scheduler.app.conf.broker_url)


@pytest.mark.parametrize("name", TABLE)
def test_it_is_what_celery_puts(scheduler: AdaptiveScheduler, url: str, name: str) -> None:
    given, counted = TABLE[name]
    entry, messages = entry_of(scheduler, **given), Messages(scheduler)
    for fire in (
        fire_of(),
        fire_of(nominal=NOW + MINUTE_MS, late_ms=0, origin="trigger:ü"),
        fire_of(nominal=NOW + 2 * MINUTE_MS),
    ):
        message = made(messages, entry, fire)
        assert is_by_template(message)
        expected = put_by_celery(scheduler, url, entry, fire)
        assert expected
        assert without(puts_of(message), *counted) == without(expected, *counted)
    scheduler.close()


def test_another_job_with_the_same_options(scheduler: AdaptiveScheduler, url: str) -> None:
    messages = Messages(scheduler)
    for number in range(3):
        name = f"job {number}"
        entry = entry_of(scheduler, name, args=(number, str(number)), **PLAIN)
        message = made(messages, entry)
        assert is_by_template(message)
        assert without(puts_of(message)) == without(put_by_celery(scheduler, url, entry))
    scheduler.close()


def test_equal_options_of_other_types_are_not_the_same(scheduler: AdaptiveScheduler) -> None:
    messages = Messages(scheduler)
    given: list[object] = [1, True, 1.0]
    for number, value in enumerate(given):
        entry = entry_of(scheduler, f"job {number}", options={"headers": {"n": value}})
        [put] = puts_of(made(messages, entry))
        assert repr(put.headers["n"]) == repr(value)
    scheduler.close()


def test_what_is_counted_is_counted_from_the_instant_of_publishing(scheduler: AdaptiveScheduler) -> None:
    entry = entry_of(scheduler, options={"countdown": 30, "expires": 90})
    messages = Messages(scheduler)
    for at in (NOW, NOW + 5, NOW + 5_000):
        [put] = puts_of(made(messages, entry, at=at))
        now = to_datetime(at).astimezone(BERLIN)
        assert put.headers["eta"] == (now + timedelta(seconds=30)).isoformat()
        assert put.headers["expires"] == (now + timedelta(seconds=90)).isoformat()
        assert put.properties["expiration"] == "90000"
    scheduler.close()


def test_an_instant_of_expiry_is_counted_down(scheduler: AdaptiveScheduler) -> None:
    entry, messages = entry_of(scheduler, options={"expires": to_datetime(NOW + 10_000)}), Messages(scheduler)
    built = [made(messages, entry, at=NOW + later_ms) for later_ms in (0, 9_999, 10_000, 10_001)]
    assert [puts_of(message)[0].properties["expiration"] for message in built] == ["10000", "1", "0", "0"]
    # From then on Celery says of each message that it is late.
    assert [is_by_template(message) for message in built] == [True, True, True, False]
    scheduler.close()


def test_ids_and_tags(scheduler: AdaptiveScheduler) -> None:
    entry, messages = entry_of(scheduler), Messages(scheduler)
    fires = [fire_of(nominal=NOW + number) for number in range(200)]
    puts = [puts_of(made(messages, entry, fire))[0] for fire in fires]
    ids = [task_id_of(JOB, fire.decision.nominal, "schedule") for fire in fires]
    assert [put.headers["id"] for put in puts] == [put.headers["root_id"] for put in puts] == ids
    assert [put.properties["correlation_id"] for put in puts] == ids
    assert len({put.properties["delivery_tag"] for put in puts}) == len(puts)
    scheduler.close()


def test_the_headers_of_a_fire(scheduler: AdaptiveScheduler) -> None:
    [put] = puts_of(made(Messages(scheduler), entry_of(scheduler)))
    assert {name: value for name, value in put.headers.items() if "beat" in name or name.endswith("_for")} == {
        "beat_job": JOB,
        "beat_origin": "schedule",
        "beat_published_at": "2026-01-05T12:00:00.123Z",
        "beat_term": 7,
        "celery_beat_task": True,
        "planned_for": "2026-01-05T12:00:00.050Z",
        "scheduled_for": "2026-01-05T12:00:00.000Z",
    }
    scheduler.close()


def test_the_keys_that_are_pushed_to(scheduler: AdaptiveScheduler) -> None:
    messages = Messages(scheduler)

    def keys(**options: object) -> list[str]:
        message = made(messages, entry_of(scheduler, options=options))
        return sorted(push.route.key for push in message.pushes)

    assert keys() == ["mine_plain"]
    assert keys(priority=5) == ["mine_plain:3"]
    assert keys(priority=255) == ["mine_plain:9"]
    assert keys(exchange="direct", routing_key="own") == ["mine_named", "mine_named_too"]
    assert keys(queue="told") == ["mine_/3.fanout/heard"]
    [push] = made(messages, entry_of(scheduler, options={"queue": "short", "priority": 9})).pushes
    assert push.route.key == "mine_short:9"
    assert push.route.expires == tuple(
        (key, 90_000) for key in ("mine_short", "mine_short:3", "mine_short:6", "mine_short:9")
    )
    scheduler.close()


def test_arguments_that_the_task_does_not_take(scheduler: AdaptiveScheduler) -> None:
    messages = Messages(scheduler)
    good = entry_of(scheduler, "good", task="area.registered", args=(1, 2))
    bad = entry_of(scheduler, "bad", task="area.registered", args=(1,))
    for _ in range(2):
        with pytest.raises(TypeError, match="second"):
            made(messages, bad)
        assert is_by_template(made(messages, good))
    scheduler.close()


def test_a_task_whose_limits_contradict_each_other(scheduler: AdaptiveScheduler) -> None:
    task: Any = scheduler.app.tasks["area.registered"]
    task.soft_time_limit = 10
    with pytest.raises(ValueError, match="soft_time_limit"):
        made(Messages(scheduler), entry_of(scheduler, task="area.registered", args=(1, 2)))
    scheduler.close()


def test_a_queue_that_is_bound_later_is_found_within_a_minute(scheduler: AdaptiveScheduler) -> None:
    entry = entry_of(scheduler, options={"exchange": "direct", "routing_key": "own"})
    messages = Messages(scheduler)
    assert len(made(messages, entry).pushes) == 2
    late = Queue("late", Exchange("direct", type="direct"), routing_key="own")
    with scheduler.app.connection_for_write() as connection:
        late(connection.default_channel).declare()
    assert len(made(messages, entry, at=NOW + MINUTE_MS - 1).pushes) == 2
    assert len(made(messages, entry, at=NOW + MINUTE_MS).pushes) == 3
    scheduler.close()
