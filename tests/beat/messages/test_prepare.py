"""What is prepared of a message before it is due changes nothing of it, and asks nobody who has a say in it."""

from typing import Any

import pytest
from celery import signals

from packages.infra.beat.messages.maker import Messages
from packages.infra.beat.messages.message import MakerAwayError, Message, Pieces
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.scheduling.instants import SECOND_MS
from tests.beat.messages.building import JOB, NOW, TERM, app_on, entry_of, fire_of, id_of, made, puts_of, without
from tests.beat.messages.test_full_path import connected


def prepared(messages: Messages) -> list[str]:
    return [name for name in (JOB, "other", "own") if messages._jobs.get(name) is not None]


def test_a_prepared_message_is_the_same(scheduler: AdaptiveScheduler, messages: Messages) -> None:
    entry = entry_of(scheduler, args=(1, "ü"), kwargs={"n": 2}, options={"priority": 3, "expires": 60})
    expected = puts_of(made(Messages(scheduler), entry))
    # The first one of its kind is what all others of it are made like.
    for name in ("other", JOB):
        messages.prepare(name, entry, now=NOW - 5 * SECOND_MS)
    assert prepared(messages) == [JOB]
    found = messages.make(fire_of(), entry, term=TERM, published_at=NOW, task_id=id_of(fire_of()))
    assert isinstance(found, Pieces)
    assert without(puts_of(found.whole(id_of(fire_of())))) == without(expected)


def test_what_is_prepared_outlasts_a_look_at_a_moment_before(scheduler: AdaptiveScheduler, messages: Messages) -> None:
    """A tick prepares as of an instant at which its commit had not begun."""
    entry = entry_of(scheduler)
    for name in ("own", JOB):
        messages.prepare(name, entry, now=NOW)
    made(messages, entry, at=NOW + 5 * SECOND_MS)
    messages.prepare("other", entry, now=NOW + 5 * SECOND_MS - 20)
    assert prepared(messages) == [JOB, "other"]


def test_a_broker_that_is_away_is_said_to_be() -> None:
    scheduler = AdaptiveScheduler(app_on("redis://127.0.0.1:1/0"))
    with pytest.raises(MakerAwayError):
        Messages(scheduler).prepare(JOB, entry_of(scheduler), now=NOW)
    scheduler.close()


def test_an_entry_that_changed_since(scheduler: AdaptiveScheduler, messages: Messages) -> None:
    entry: Any = entry_of(scheduler, args=[1])
    for name in ("other", JOB):
        messages.prepare(name, entry, now=NOW)
    entry.args.append(2)
    assert puts_of(made(messages, entry))[0].headers["argsrepr"] == "[1, 2]"
    messages.forget(JOB)
    assert prepared(messages) == []


def test_an_entry_that_cannot_be_made_a_message_says_so_when_it_is_due(scheduler: AdaptiveScheduler) -> None:
    messages = Messages(scheduler)

    @scheduler.app.task(name="area.strict")
    def strict(number: int) -> int:
        return number

    entry = entry_of(scheduler, JOB, task="area.strict", args=(1, 2))
    for name in ("other", JOB):
        with pytest.raises(TypeError):
            messages.prepare(name, entry, now=NOW)
    assert prepared(messages) == []
    with pytest.raises(TypeError):
        made(messages, entry)


@pytest.mark.parametrize(
    "signal", [signals.before_task_publish, signals.after_task_publish], ids=lambda each: each.name
)
def test_receivers_are_not_told_of_what_is_not_sent(scheduler: AdaptiveScheduler, signal: Any) -> None:  # noqa: ANN401  # a signal
    messages, told = Messages(scheduler), []
    with connected(signal, lambda **_: told.append(1)):
        messages.prepare(JOB, entry_of(scheduler), now=NOW)
    assert (told, prepared(messages)) == ([], [])


@pytest.mark.parametrize("method", ["apply_entry", "apply_async", "send_task"])
def test_nobodys_own_code_is_called(redis_url: str, method: str) -> None:
    called: list[str] = []

    def own(self: AdaptiveScheduler, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # Celery's own signatures
        called.append(method)
        return original(self, *args, **kwargs)

    original: Any = getattr(AdaptiveScheduler, method)
    scheduler = type("Own", (AdaptiveScheduler,), {method: own})(app_on(redis_url))
    messages, entry = Messages(scheduler), entry_of(scheduler)
    for name in ("other", JOB):
        messages.prepare(name, entry, now=NOW)
    assert (called, prepared(messages)) == ([], [])
    found = messages.make(fire_of(), entry, term=TERM, published_at=NOW, task_id=id_of(fire_of()))
    assert (isinstance(found, Message), called) == (True, [method])
    scheduler.close()
