"""Steps of priority that somebody has set for kombu: which of them hold critical messages before the others."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Queue

from packages.infra.queue.priority_lists import hold_apart
from packages.scheduling.message_priority import PRIORITIES
from packages.shared_settings.layers import ROOT

STEPS = [
    ([0, 3, 6, 9], True),
    ((0, 3, 6), True),
    (range(10), True),
    ([0, 2, 4, 6, 8], True),
    ([-1, 1, 5], True),
    # Not rising, and kombu looks among them by bisection.
    ([9, 6, 3, 0], False),
    ([0, 6, 3], False),
    # What is critical would be last.
    ([1, 3, 6], False),
    ([3, 6, 9], False),
    # Some of them would be mixed.
    ([0, 5], False),
    ([0, 3], False),
    ([0], False),
    ([0, 7, 8, 9], False),
    ([], False),
    # No steps.
    (None, False),
    (4, False),
    ("0369", False),
    (["0", "3", "6"], False),
]


@pytest.mark.parametrize(("steps", "holds"), STEPS)
def test_which_steps_hold_critical_messages_before_the_others(steps: Any, *, holds: bool) -> None:  # noqa: ANN401  # anything
    assert hold_apart(steps) is holds


@pytest.mark.parametrize("steps", [steps for steps, holds in STEPS if holds])
def test_kombu_then_takes_them_in_that_order(redis_url: str, steps: Any) -> None:  # noqa: ANN401  # as above
    with Connection(redis_url, transport_options={"priority_steps": list(steps)}) as connection:
        queue = Queue("area")(connection.channel())
        queue.declare()
        sent = sorted({*PRIORITIES.values()}, reverse=True)
        for priority in sent:
            connection.Producer().publish(priority, routing_key="area", priority=priority)
        taken = [queue.get(no_ack=True) for _ in sent]
    assert [message.payload for message in taken if message is not None] == sorted(sent)


APP = """
from apps.beat.celery_app import celery_app as app

app.conf.broker_transport_options = {{**app.conf.broker_transport_options, "priority_steps": {steps}}}
app.conf.beat_schedule["own"] = {{"task": "own", "schedule": 3600, "options": {{"queue": "own", "priority": 6}}}}
# What Celery does when beat starts.
app.loader.init_worker()
read = app.conf.beat_schedule_source.read()
for entries in (app.conf.beat_schedule, read):
    print({{name: entry["options"].get("priority") for name, entry in sorted(entries.items())}})
from celery import signals
signals.setup_logging.send(sender=None, loglevel="INFO")
signals.beat_init.send(sender=None)
"""
EXPORT = "maintenance.export_user_emails_csv"


@pytest.mark.parametrize(
    ("steps", "priority"),
    [([0, 3, 6, 9], 6), ([3, 6, 9], None)],
)
def test_without_lists_for_them_no_message_of_the_catalogue_carries_one_and_beat_says_so(
    redis_url: str, tmp_path: Path, steps: list[int], priority: int | None
) -> None:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    given = {"MINSY_ENV_DIR": str(tmp_path), "MINSY_VAR_DIR": str(tmp_path / "var"), "REDIS_URL": redis_url}
    done = subprocess.run(
        [sys.executable, "-c", APP.format(steps=steps)],
        env={**kept, **given, "USER_EMAIL_CSV_EXPORT_ENABLED": "true", "LOG_FORMAT": "json"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # An entry of somebody else's keeps what it says.
    of_the_start, of_a_reload = {EXPORT: priority, "own": 6}, {EXPORT: priority}
    assert str(of_the_start) in done.stdout
    assert str(of_a_reload) in done.stdout
    said = done.stdout + done.stderr
    assert said.count("message_priorities_off") == (priority is None)
    assert ("broker_transport_options.priority_steps" in said) == (priority is None)
    assert ("[3, 6, 9]" in said) == (priority is None)
