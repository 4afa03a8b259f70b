"""What `minsy explain` says of a throttled job, and that what it proposes is accepted and helps."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from apps.cli.explain_live import Live
from apps.cli.explain_output import Case, explanation_as_json, print_explanation
from packages.catalogue.jobs import JOBS
from packages.infra.beat.beat_status import BeatStatus, BeatStatusStore
from packages.infra.beat.kept_controllers import KeptControllers
from packages.infra.beat.standing import Standing
from packages.infra.beat.stored_controllers import controllers_text
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.scheduling.control.controllers import Controllers, LevelControl, QueueControl, TargetControl
from packages.scheduling.control.shares import ONE
from packages.scheduling.explain import explain
from packages.scheduling.gates import backlog, pin
from packages.scheduling.instants import to_instant
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode
from packages.scheduling.snapshot import Exemption, Pin, Snapshot
from packages.scheduling.state import JobState
from packages.shared_settings.beat import BeatSettings
from tests.cli.command_line import Minsy, minsy_in, said

NOW = to_instant(datetime(2026, 11, 22, 12, tzinfo=UTC))
SINCE = NOW - 600_000
SETTINGS = BeatSettings(user_email_csv_export_enabled=True)
EXPORT = "maintenance.export_user_emails_csv"
DEFINITION = next(job for job in JOBS if job.name == EXPORT)
JOB = DEFINITION.job(SETTINGS)
EXEMPT = f"minsy control exempt {EXPORT} --for 1h"
TRIGGER = f"minsy trigger {EXPORT}"


def rates(**rates: int) -> Controllers:
    by_criticality = {Criticality(name): rate for name, rate in rates.items()}
    return Controllers(queues={JOB.queue: QueueControl(wait_ms=73_000, rates=by_criticality, since=SINCE)})


def pins(rate: int, criticality: Criticality | None, until: int | None) -> Snapshot:
    pinned = Pin(JOB.queue, criticality, rate, since=SINCE, until=until, note="the “disk” is full")
    return Snapshot(NOW, pins={(JOB.queue, criticality): pinned})


STOPPED = Snapshot(NOW, controllers=rates(sheddable=0))
QUARTER = Snapshot(NOW, controllers=rates(sheddable=250_000))
LONG = Snapshot(
    NOW,
    controllers=Controllers(
        queues={
            JOB.queue: QueueControl(messages=412, rates={Criticality.SHEDDABLE: 100_000}, since=SINCE, by_length=True)
        }
    ),
)
UNSERVED = Snapshot(NOW, controllers=Controllers(queues={JOB.queue: QueueControl(unserved_since=SINCE)}))
BURNING = Snapshot(NOW, controllers=Controllers(levels={"api": LevelControl(level=2, since=SINCE)}))
FAILING = Snapshot(NOW, controllers=Controllers(targets={JOB.task: TargetControl(rate=200_000, since=SINCE)}))


def case(snapshot: Snapshot, credit: int | None = 0) -> Case:
    state = JobState(watermark=NOW, trigger=JOB.trigger.describe(), credit=credit)
    return Case(DEFINITION, SETTINGS, "dev", None, Live(snapshot), explain(JOB, snapshot, NOW, state=state))


def shown(snapshot: Snapshot, capsys: pytest.CaptureFixture[str], credit: int | None = 0) -> str:
    print_explanation(case(snapshot, credit))
    return capsys.readouterr().out


def test_the_job_of_these_tests_is_sheddable() -> None:
    assert JOB.criticality is Criticality.SHEDDABLE


@pytest.mark.parametrize(
    ("snapshot", "sentence", "remedies"),
    [
        (
            STOPPED,
            (
                "The queue maintenance, where messages wait 1m13s, does not drain. It is throttled since "
                "2026-11-22T11:50:00Z: none of the job's fires goes out. This fire is out of turn: it waits,"
            ),
            [
                TRIGGER,
                EXEMPT,
                "minsy control pin 100% --queue maintenance --criticality sheddable --for 1h",
                "minsy control gate backlog observe",
            ],
        ),
        (
            LONG,
            (
                "The queue maintenance, where 412 messages wait and nobody tells for how long, does not get shorter. "
                "It is throttled since 2026-11-22T11:50:00Z: 10% of the job's fires go out."
            ),
            [
                TRIGGER,
                EXEMPT,
                "minsy control pin 100% --queue maintenance --criticality sheddable --for 1h",
                "minsy control gate backlog observe",
            ],
        ),
        (
            UNSERVED,
            "No worker that lives serves the queue maintenance since 2026-11-22T11:50:00Z: one fire of the job waits",
            [
                "celery -A apps.worker_io.celery_app worker -l info -n io@%h",
                EXEMPT,
                "minsy control gate backlog observe",
            ],
        ),
        (
            BURNING,
            "The objective api burns its error budget, at level 2 of 3 since 2026-11-22T11:50:00Z: none of",
            [TRIGGER, EXEMPT, "minsy control gate slo observe"],
        ),
        (
            FAILING,
            (
                f"Nearly every run of the task {JOB.task} fails. It is throttled since 2026-11-22T11:50:00Z: "
                "20% of the job's fires go out, as probes."
            ),
            [TRIGGER, EXEMPT, "minsy control gate failing_target observe"],
        ),
        (
            pins(0, None, None),
            "An operator has pinned queue maintenance at 0% since 2026-11-22T11:50:00Z (the “disk” is full).",
            [TRIGGER, "minsy control unpin --queue maintenance"],
        ),
        (
            pins(100_000, Criticality.SHEDDABLE, NOW + 60_000),
            "has pinned queue maintenance, sheddable at 10% since 2026-11-22T11:50:00Z until 2026-11-22T12:01:00Z (",
            [TRIGGER, "minsy control unpin --queue maintenance --criticality sheddable"],
        ),
    ],
)
def test_each_throttle_is_told_with_what_would_change_it(
    snapshot: Snapshot, sentence: str, remedies: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(snapshot, capsys)
    assert sentence in text
    assert "asked again at" in text
    assert "To change it, any of:\n" + "".join(f"    {remedy}\n" for remedy in remedies) in text
    [opinion] = explanation_as_json(case(snapshot))["opinions"]
    assert opinion["to_change_it"] == remedies
    assert opinion["until"] is not None


def test_a_fire_in_turn_is_told_and_its_job_can_be_helped_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(QUARTER, capsys, credit=750_000)
    assert "would be: fire, on_time" in text
    assert "25% of the job's fires go out. This fire is in turn. To change it, any of:\n" in text
    assert "This fire is out of turn" in shown(QUARTER, capsys, credit=700_000)


@pytest.mark.parametrize("snapshot", [STOPPED, UNSERVED])
def test_the_end_of_the_look_ahead_is_not_told_as_when_a_fire_comes(
    snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(snapshot, capsys)
    assert "\nAs things stand no fire is foreseen. Looked ahead until 2026-12-02T12:00:00Z.\n" in text


def test_a_gate_that_observes_needs_no_change(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(STOPPED._replace(gate_modes={backlog.NAME: GateMode.OBSERVE}), capsys)
    assert "would be: fire, on_time; observe: would have been held back: throttled" in text
    assert "The gate backlog only observes: what follows is recorded, and holds nothing back." in text
    assert "To change it" not in text


@pytest.mark.parametrize("others", [STOPPED, pins(0, None, None), STOPPED._replace(pins=pins(0, None, None).pins)])
def test_of_an_exempt_job_it_is_told_that_it_is(others: Snapshot, capsys: pytest.CaptureFixture[str]) -> None:
    exempt = {EXPORT: Exemption(EXPORT, since=SINCE, until=NOW + 60_000, note="a release")}
    sentence = (
        "The job is exempt since 2026-11-22T11:50:00Z until 2026-11-22T12:01:00Z (a release): no pin holds it, nor "
        f"does the adaptive control. To end that: minsy control unexempt {EXPORT}"
    )
    text = shown(others._replace(exempt=exempt), capsys)
    assert "would be: fire, on_time" in text
    assert f"No gate has anything to say of it.\n{sentence}\n" in text
    assert explanation_as_json(case(others._replace(exempt=exempt)))["left_alone"] == sentence
    ended = {EXPORT: exempt[EXPORT]._replace(until=NOW)}
    assert "exempt since" not in shown(others._replace(exempt=ended), capsys)


def test_a_pin_that_lets_everything_out_is_told_where_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    whole = STOPPED._replace(pins=pins(ONE, Criticality.SHEDDABLE, None).pins)
    assert (
        "An operator has pinned queue maintenance, sheddable at 100% since 2026-11-22T11:50:00Z (the “disk” is full): "
        "the adaptive control leaves it alone. To end that: minsy control unpin --queue maintenance "
        "--criticality sheddable\n"
    ) in shown(whole, capsys)
    assert "has pinned" not in shown(whole._replace(gate_modes={pin.NAME: GateMode.OBSERVE}), capsys)
    assert explanation_as_json(case(STOPPED))["left_alone"] is None


def test_critical_work_that_nobody_serves_is_told_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    job = replace(JOB, criticality=Criticality.CRITICAL)
    asked = replace(case(UNSERVED), explanation=explain(job, UNSERVED, NOW))
    print_explanation(asked)
    assert (
        "No worker that lives serves the queue maintenance since 2026-11-22T11:50:00Z: one message of the job that is "
        "still alive is kept there, a new one when the one before is about to expire; 50% of the job's fires go out. "
        "This fire is"
    ) in capsys.readouterr().out


def test_beside_an_up_that_lives_no_worker_is_proposed(capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation(replace(case(UNSERVED), is_up=True))
    text = capsys.readouterr().out
    assert "celery -A" not in text
    assert "To change it, any of:\n    minsy status  # " in text
    assert "\n    minsy up  # anew" in text


def test_what_is_known_and_what_is_not_is_told(minsy: Minsy, redis_url: str, broker: BrokerRedis) -> None:
    def shown_live() -> str:
        done = minsy("explain", EXPORT, REDIS_URL=redis_url)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    said_by_operators = "Live readings: pauses, pins, exempt jobs, words on gates"
    text = shown_live()
    assert said_by_operators in text
    assert "Absent: the state of the adaptive control (no beat leads)." in text
    now = to_instant(datetime.now(UTC))
    status = BeatStatus("here:1", Standing.LEADING, 1, since=now, last_tick=now, jobs=1)
    BeatStatusStore(broker).write(status)
    assert "Absent: the state of the adaptive control (the beat that leads has it off)." in shown_live()
    BeatStatusStore(broker).write(status._replace(control={"backlog": GateMode.ENFORCE}))
    line = next(line for line in shown_live().splitlines() if line.startswith(said_by_operators))
    assert line.endswith(", the state of the adaptive control.")
    KeptControllers(broker).write("not ours")
    assert "Absent: the state of the adaptive control (its stored state cannot be read here)." in shown_live()


@pytest.fixture
def minsy(tmp_path: Path) -> Minsy:
    return minsy_in(tmp_path)


def test_what_is_proposed_is_accepted_and_helps(minsy: Minsy, redis_url: str) -> None:
    def explained() -> dict[str, Any]:
        done = minsy("explain", EXPORT, "--json", REDIS_URL=redis_url, USER_EMAIL_CSV_EXPORT_ENABLED="true")
        assert done.returncode == 0, done.stderr
        explanation: dict[str, Any] = json.loads(done.stdout)
        return explanation

    assert minsy("control", "pin", "0", "--queue", "maintenance", REDIS_URL=redis_url).returncode == 0
    held = explained()
    assert (held["decision"]["decision"], held["decision"]["reason"]) == ("defer", "pinned")
    [opinion] = held["opinions"]
    [unpin] = [remedy for remedy in opinion["to_change_it"] if remedy.startswith("minsy control")]
    assert minsy(*shlex.split(unpin)[1:], REDIS_URL=redis_url).returncode == 0
    assert explained()["decision"]["decision"] == "fire"


@pytest.fixture
def broker(redis_url: str) -> Iterator[BrokerRedis]:
    redis = open_broker_redis(Celery("minsy", broker=redis_url))
    assert redis is not None
    yield redis
    redis.close()


@pytest.mark.parametrize(
    ("modes", "reason", "text"),
    [
        ({"backlog": GateMode.ENFORCE}, "throttled", "throttled queue maintenance"),
        ({"backlog": GateMode.OBSERVE}, "on_time", "would have been held back: throttled"),
        # The state that was stored by a beat whose control has been taken away since.
        ({}, "on_time", "on_time"),
    ],
)
def test_what_the_beat_that_leads_throttles_is_in_it(
    minsy: Minsy, redis_url: str, broker: BrokerRedis, modes: dict[str, GateMode], reason: str, text: str
) -> None:
    now = to_instant(datetime.now(UTC))
    KeptControllers(broker).write(controllers_text(STOPPED.controllers._replace(stepped_at=now)))
    status = BeatStatus("here:1", Standing.LEADING, 1, since=now, last_tick=now, jobs=1, control=modes)
    BeatStatusStore(broker).write(status)
    done = minsy("explain", EXPORT, "--json", REDIS_URL=redis_url, USER_EMAIL_CSV_EXPORT_ENABLED="true")
    assert (done.returncode, done.stderr) == (0, "")
    explained = json.loads(done.stdout)
    assert explained["decision"]["reason"] == reason
    assert text in explained["decision"]["detail"]
    assert bool(explained["opinions"]) is bool(modes)


def test_commands_that_are_proposed_of_the_others_are_accepted(minsy: Minsy, redis_url: str) -> None:
    [opinion] = explanation_as_json(case(STOPPED))["opinions"]
    for remedy in opinion["to_change_it"]:
        done = minsy(*shlex.split(remedy)[1:], REDIS_URL=redis_url, USER_EMAIL_CSV_EXPORT_ENABLED="true")
        assert (done.returncode, done.stderr) == (0, "")
    control = said(redis_url)
    assert [(each.rate, each.criticality) for each in control.pins] == [(1_000_000, Criticality.SHEDDABLE)]
    assert [exemption.job for exemption in control.exemptions] == [EXPORT]
    assert control.gate_modes == {"backlog": GateMode.OBSERVE}
