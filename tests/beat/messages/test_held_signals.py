"""`after_task_publish` is sent for what the broker has, and nobody else's call is lost or held."""

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from celery import signals
from celery.utils.dispatch.signal import Signal

from packages.infra.beat.messages.held_signals import held
from packages.infra.beat.messages.maker import Messages
from packages.infra.beat.scheduler import AdaptiveScheduler
from tests.beat.messages.building import app_on, entry_of, made, put_meanwhile


class Heard:
    """Receivers, and what they heard."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def one(self, value: object = None, **_: object) -> None:
        self.calls.append(value)

    def other(self, value: object = None, **_: object) -> None:
        self.calls.append(("other", value))


def always() -> bool:
    return True


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def signal(heard: Heard) -> Signal:
    signal = Signal(name="test", providing_args=["value"])
    signal.connect(heard.one)
    return signal


def test_a_call_is_held_until_it_is_made(signal: Signal, heard: Heard) -> None:
    before = list(signal.receivers)
    with held([signal], always) as calls:
        signal.send(None, value=1)
        signal.send(None, value=2)
    assert (heard.calls, len(calls)) == ([], 2)
    assert signal.receivers == before
    for call in calls:
        call()
    assert heard.calls == [1, 2]
    signal.send(None, value=3)
    assert heard.calls == [1, 2, 3]


def test_a_call_that_is_not_to_be_held_goes_through(signal: Signal, heard: Heard) -> None:
    answers = iter([False, True, False])
    with held([signal], lambda: next(answers)) as calls:
        for value in range(3):
            signal.send(None, value=value)
    assert (heard.calls, [call.named["value"] for call in calls]) == ([0, 2], [1])


def test_only_receivers_of_the_sender_hear_it(signal: Signal, heard: Heard) -> None:
    sender, another = object(), object()
    signal.connect(heard.other, sender=sender)
    with held([signal], always) as calls:
        signal.send(another, value=1)
        signal.send(sender, value=2)
    for call in calls:
        call()
    assert heard.calls == [1, 2, ("other", 2)]


def test_calls_of_other_threads_go_through(signal: Signal, heard: Heard) -> None:
    with held([signal], always) as calls:
        thread = threading.Thread(target=signal.send, args=(None,), kwargs={"value": "theirs"})
        thread.start()
        thread.join()
        signal.send(None, value="ours")
    assert (heard.calls, [call.named["value"] for call in calls]) == (["theirs"], ["ours"])


def test_what_is_connected_and_disconnected_meanwhile_is_so_afterwards(signal: Signal, heard: Heard) -> None:
    with held([signal], always):
        assert signal.disconnect(heard.one)
        signal.connect(heard.other)
        signal.connect(heard.other)
    signal.send(None, value=1)
    assert heard.calls == [("other", 1)]


def test_a_receiver_that_dies_meanwhile_is_gone(signal: Signal, heard: Heard) -> None:
    mortal = Heard()
    signal.connect(mortal.one)
    with held([signal], always):
        del mortal
        gc.collect()
        thread = threading.Thread(target=signal.send, args=(None,), kwargs={"value": 1})
        thread.start()
        thread.join()
    signal.send(None, value=2)
    assert heard.calls == [1, 2]
    assert len(signal.receivers) == 1


def test_all_is_as_before_after_an_error(signal: Signal, heard: Heard) -> None:
    before = list(signal.receivers)
    with pytest.raises(KeyError), held([signal], always):
        raise KeyError
    assert signal.receivers == before
    signal.send(None, value=1)
    assert heard.calls == [1]


def test_without_receivers_nothing_is_held() -> None:
    signal = Signal(name="test")
    with held([signal], always) as calls:
        assert signal.receivers == []
        signal.send(None)
    assert calls == []


def test_a_signal_that_remembers_its_receivers(heard: Heard) -> None:
    signal = Signal(name="test", use_caching=True)
    signal.connect(heard.one)
    sender = Heard()
    signal.send(sender, value=1)
    with held([signal], always) as calls:
        signal.send(sender, value=2)
    signal.send(sender, value=3)
    assert (heard.calls, len(calls)) == ([1, 3], 1)


@pytest.fixture
def published() -> Iterator[list[Any]]:
    told: list[Any] = []

    def after(sender: str, headers: dict[str, Any], **_: object) -> None:
        told.append(("after", sender, headers["id"]))

    def sent(task_id: str, **_: object) -> None:
        told.append(("sent", task_id))

    signals.after_task_publish.connect(after)
    signals.task_sent.connect(sent)
    yield told
    signals.after_task_publish.disconnect(after)
    signals.task_sent.disconnect(sent)


def test_celery_says_that_it_is_published_when_it_is_accepted(redis_url: str, published: list[Any]) -> None:
    scheduler = AdaptiveScheduler(app_on(redis_url))
    message = made(Messages(scheduler), entry_of(scheduler))
    assert published == []
    assert message.accepted is not None
    message.accepted()
    assert published == [("after", "area.job", message.task_id), ("sent", message.task_id)]
    scheduler.close()


def test_what_is_published_by_itself_is_said_at_once(redis_url: str, published: list[Any]) -> None:
    class OwnWay(AdaptiveScheduler):
        def apply_entry(self, entry: Any, producer: Any = None) -> None:  # noqa: ANN401, ARG002  # Celery's own signature
            self.app.send_task(entry.task, **entry.options)

    scheduler = OwnWay(app_on(redis_url))
    found: list[Any] = []
    assert len(put_meanwhile(redis_url, lambda: found.append(made(Messages(scheduler), entry_of(scheduler))))) == 1
    assert (found[0].pushes, found[0].accepted) == ((), None)
    assert [told[0] for told in published] == ["after", "sent"]
    scheduler.close()
