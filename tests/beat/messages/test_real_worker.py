"""A worker runs the messages of both paths as what they are: Celery's own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import signals

from packages.infra.beat.messages.maker import Messages
from packages.infra.beat.messages.message import Message
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.scheduling.instants import HOUR_MS, SECOND_MS, to_datetime
from packages.shared_settings.layers import ROOT
from tests.beat.messages.building import TERM, entry_of, fire_of, is_by_template, made
from tests.beat.messages.test_full_path import connected, listen
from tests.beat.messages.working_app import NOTES, make_app

PATIENCE_S = 60.0
UNRUN = "not to be run"


@contextmanager
def working(url: str, log: Path) -> Iterator[None]:
    """A worker, gone after the block."""
    command = [sys.executable, "-m", "celery", "-A", "tests.beat.messages.working_app", "worker", "-P", "solo"]
    with log.open("wb") as stream:
        worker = subprocess.Popen(
            [*command, "-l", "info", "--without-gossip", "--without-mingle"],
            cwd=ROOT,
            env={**os.environ, "WORKING_APP_URL": url},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(30)


def eventually(condition: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@pytest.mark.parametrize("by_template", [True, False], ids=["template", "full path"])
def test_it_does_what_the_options_say(redis_url: str, tmp_path: Path, *, by_template: bool) -> None:
    url = f"{redis_url.rpartition('/')[0]}/2"
    scheduler = AdaptiveScheduler(make_app(url))
    messages = Messages(scheduler)
    now = time.time_ns() // 1_000_000

    def build(name: str, args: tuple[object, ...] = (), *, at: int = now, **options: object) -> Message:
        entry = entry_of(scheduler, name, task="working.note", args=args, kwargs={"name": name}, options=options)
        # The same twice: how the second one is made the first one did not show.
        for fire in (fire_of(name, nominal=at), fire_of(name, nominal=at + 1)):
            message = made(messages, entry, fire, at=at)
        assert is_by_template(message) == by_template
        return message

    with nullcontext() if by_template else connected(signals.before_task_publish, listen):
        in_order = [
            build("low", (1, "ü"), priority=9),
            build("quiet", priority=6, ignore_result=True),
            build("counted", countdown=1, priority=3, shadow="another name"),
            build("first", (2.5, None, [True]), headers={"mine": {"n": 1}}, expires=600),
            build(UNRUN, expires=60, at=now - HOUR_MS if by_template else now),
        ]
    scheduler.close()
    client: Any = redis.Redis.from_url(url)
    expired = in_order[-1]
    for message in in_order:
        [(route, payload)] = message.pushes
        if message is expired and not by_template:
            # Celery counts from its own clock; an hour passes for this one.
            payload = _aged(payload)
        client.lpush(route.key, payload)
    log = tmp_path / "worker.log"
    with working(url, log):
        # The result of the one that had expired is that it was revoked.
        eventually(lambda: client.llen(NOTES) == 4 and len(client.keys("celery-task-meta-*")) == 4, log)
    noted = [json.loads(note) for note in client.lrange(NOTES, 0, -1)]
    by_name = {note["kwargs"]["name"]: note for note in noted}
    assert set(by_name) == {"low", "quiet", "counted", "first"}
    order = [note["kwargs"]["name"] for note in noted if note["kwargs"]["name"] != "counted"]
    assert order == ["first", "quiet", "low"]
    assert [by_name[name]["priority"] for name in ("first", "counted", "quiet", "low")] == [0, 3, 6, 9]
    assert (by_name["low"]["args"], by_name["first"]["args"]) == ([1, "ü"], [2.5, None, [True]])
    assert by_name["first"]["headers"]["mine"] == {"n": 1}
    assert by_name["first"]["headers"]["beat_job"] == "first"
    assert by_name["first"]["headers"]["beat_term"] == TERM
    assert by_name["counted"]["shadow"] == "another name"
    eta = datetime.fromisoformat(by_name["counted"]["eta"])
    assert by_name["counted"]["at_s"] >= eta.timestamp()
    if by_template:
        assert eta == to_datetime(now + SECOND_MS)
    ids = {name: note["id"] for name, note in by_name.items()}
    assert {name for name, task_id in ids.items() if client.exists(f"celery-task-meta-{task_id}")} == {
        "low",
        "counted",
        "first",
    }
    assert f"Discarding revoked task: working.note[{expired.task_id}]" in log.read_text()
    client.close()


def _aged(payload: str) -> str:
    message = json.loads(payload)
    expires = datetime.fromisoformat(message["headers"]["expires"])
    message["headers"]["expires"] = expires.replace(year=expires.year - 1).isoformat()
    return json.dumps(message)
