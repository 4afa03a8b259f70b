"""What changes at run time is seen: a template is used for as long as it gives what Celery would, and no longer."""

import gc
from typing import Any

import pytest
from celery import signals

from packages.infra.beat.messages.maker import Messages
from packages.infra.beat.messages.plain import are_plain_options
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.scheduling.instants import SECOND_MS
from tests.beat.messages.building import JOB, NOW, entry_of, fire_of, is_by_template, made, puts_of
from tests.beat.messages.test_full_path import connected, listen


@pytest.mark.parametrize(
    "signal", [signals.before_task_publish, signals.after_task_publish, signals.task_sent], ids=lambda each: each.name
)
def test_a_receiver_that_is_connected_later(scheduler: AdaptiveScheduler, messages: Messages, signal: Any) -> None:  # noqa: ANN401  # a signal
    entry = entry_of(scheduler)
    assert is_by_template(made(messages, entry))
    with connected(signal, listen):
        assert not is_by_template(made(messages, entry))
    assert is_by_template(made(messages, entry))


def test_a_receiver_that_is_gone(scheduler: AdaptiveScheduler, messages: Messages) -> None:
    def mortal(**_: object) -> None:
        raise NotImplementedError

    for signal in (signals.after_task_publish, signals.task_sent):
        signal.connect(mortal)
    del mortal
    gc.collect()
    entry = entry_of(scheduler)
    assert [is_by_template(made(messages, entry)) for _ in range(2)] == [False, True]


def test_very_many_jobs(scheduler: AdaptiveScheduler) -> None:
    messages, entry = Messages(scheduler, least_jobs=1_000), entry_of(scheduler)
    for number in range(2_050):
        made(messages, entry, fire_of(f"job {number}"))
        messages.prepare(f"other {number}", entry, now=NOW)
    assert 1_000 <= len(messages._jobs) <= 2_000


def test_an_entry_that_is_edited_in_place(scheduler: AdaptiveScheduler, messages: Messages) -> None:
    entry: Any = entry_of(scheduler, args=[1, [2]], kwargs={"n": {"m": 1}}, options={"headers": {"mine": 1}})

    def said() -> list[Any]:
        message = made(messages, entry)
        assert is_by_template(message)
        [put] = puts_of(message)
        headers = put.headers
        return [headers["task"], headers["mine"], headers["argsrepr"], headers["kwargsrepr"], put.message["body"][:2]]

    assert said() == ["area.job", 1, "[1, [2]]", "{'n': {'m': 1}}", [[1, [2]], {"n": {"m": 1}}]]
    entry.args[1].append(3)
    assert said()[2] == "[1, [2, 3]]"
    entry.kwargs["n"]["m"] = 4
    assert said()[3] == "{'n': {'m': 4}}"
    entry.options["headers"]["mine"] = 5
    entry.task = "area.other"
    assert said() == ["area.other", 5, "[1, [2, 3]]", "{'n': {'m': 4}}", [[1, [2, 3]], {"n": {"m": 4}}]]
    entry.args, entry.kwargs = None, None
    assert said()[4] == [[], {}]


def test_another_entry_of_the_same_name(scheduler: AdaptiveScheduler, messages: Messages) -> None:
    for number in range(3):
        [put] = puts_of(made(messages, entry_of(scheduler, args=(number,))))
        assert put.headers["argsrepr"] == f"[{number}]"
    messages.forget(JOB)
    messages.forget("nobody")
    assert puts_of(made(messages, entry_of(scheduler)))[0].headers["argsrepr"] == "()"


def test_a_task_that_is_registered_later(scheduler: AdaptiveScheduler, messages: Messages) -> None:
    entry = entry_of(scheduler, args=(1,))
    assert is_by_template(made(messages, entry))

    @scheduler.app.task(name="area.job", shared=False, ignore_result=True)
    def job(first: int, second: int) -> None:
        raise NotImplementedError

    with pytest.raises(TypeError, match="second"):
        made(messages, entry)
    entry.args = (1, 2)
    [put] = puts_of(made(messages, entry))
    assert put.headers["ignore_result"] is True


def test_a_configuration_that_changes_is_seen_within_a_second(scheduler: AdaptiveScheduler, messages: Messages) -> None:
    entry = entry_of(scheduler)
    assert is_by_template(made(messages, entry))
    scheduler.app.conf.task_send_sent_event = True
    message = made(messages, entry, at=NOW + SECOND_MS)
    assert not is_by_template(message)
    assert len(message.pushes) == 2
    scheduler.app.conf.task_send_sent_event = False
    assert is_by_template(made(messages, entry, at=NOW + 2 * SECOND_MS))


def test_routes_that_change_are_seen_within_a_second(scheduler: AdaptiveScheduler, messages: Messages) -> None:
    entry = entry_of(scheduler)
    assert made(messages, entry).pushes[0].route.key == "celery"
    # As a reload of the configuration does it.
    scheduler.app.conf.update(task_routes={"area.*": {"queue": "elsewhere"}})
    scheduler.app.amqp.__dict__.pop("router", None)
    message = made(messages, entry, at=NOW + SECOND_MS)
    assert is_by_template(message)
    assert message.pushes[0].route.key == "elsewhere"


def test_a_clock_that_is_set_back(scheduler: AdaptiveScheduler, messages: Messages) -> None:
    entry = entry_of(scheduler, options={"expires": 10})
    for at in (NOW, NOW - 3_600_000, NOW + 1):
        [put] = puts_of(made(messages, entry, fire_of(nominal=at), at=at))
        assert put.headers["expires"] > put.headers["beat_published_at"]


def test_a_method_that_is_replaced_on_the_object(scheduler: AdaptiveScheduler, messages: Messages) -> None:
    entry, given = entry_of(scheduler), scheduler.send_task
    called: list[str] = []

    def send_task(name: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401  # Celery's own signature
        called.append(name)
        return given(name, *args, **options)

    assert is_by_template(made(messages, entry))
    setattr(scheduler, "send_task", send_task)  # noqa: B010  # mypy knows that it is a method
    message = made(messages, entry, at=NOW + SECOND_MS)
    assert (called, is_by_template(message), len(message.pushes)) == (["area.job"], False, 1)


@pytest.mark.parametrize(
    "options",
    [
        {"priority": True},
        {"queue": 1},
        {"queue": ("a", 1)},
        {"expires": True},
        {"link": []},
        {"reply_to": "me"},
        {"stamped_headers": []},
        {"headers": {"n": {1, 2}}},
        {"headers": {1: 1}},
        {"headers": {"task": "another"}},
        {"headers": {"compression": "zlib"}},
        {"task_id": 'quoted"'},
        {"task_id": "ü"},
        {"retry_policy": {"retry_errors": {1, 2}}},
        {"unknown": 1},
        [("queue", "a")],
        "queue",
    ],
    ids=str,
)
def test_options_that_are_not_plain(options: object) -> None:
    assert not are_plain_options(options)


@pytest.mark.parametrize(
    "options",
    [None, {}, {"queue": "a", "headers": None, "expires": None}, {"task_id": "", "retry_policy": {"max_retries": 1}}],
    ids=str,
)
def test_options_that_are_plain(options: object) -> None:
    assert are_plain_options(options)
