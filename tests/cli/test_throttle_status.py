"""What `minsy status` says of the adaptive control."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from apps.cli.control_state import ControlState, control_state_as_json
from apps.cli.throttle_status import print_control_state
from packages.infra.beat.beat_status import BeatStatus
from packages.infra.beat.kept_controllers import KeptControllers
from packages.infra.beat.standing import Standing
from packages.infra.beat.stored_controllers import controllers_text
from packages.infra.control.redis_control import RedisControl
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.scheduling.control.controllers import (
    Controllers,
    LevelControl,
    QueueControl,
    TargetControl,
    WaitBasis,
)
from packages.scheduling.instants import to_datetime, to_instant
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode
from packages.scheduling.snapshot import Exemption, Pin
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.cli.test_beat_status import lines_of, said_to, status

SHEDDABLE, PLUS = Criticality.SHEDDABLE, Criticality.SHEDDABLE_PLUS
CRITICAL, CRITICAL_PLUS = Criticality.CRITICAL, Criticality.CRITICAL_PLUS
AT = 1_767_614_400_000
MODES = dict.fromkeys(("backlog", "slo", "failing_target"), GateMode.ENFORCE)
CONTROLLERS = Controllers(
    stepped_at=AT,
    queues={
        "maintenance": QueueControl(
            41_300, WaitBasis.OLDEST, 120, AT, rates={SHEDDABLE: 0, PLUS: 345_000}, since=AT - 9_000
        ),
        "notifications": QueueControl(None, WaitBasis.STUCK, 7, AT, since=AT, unserved_since=AT),
        "market_data": QueueControl(0, WaitBasis.EMPTY, 0),
        "paper_trading": QueueControl(),
    },
    levels={"orders_fast": LevelControl(2, AT, sheds=frozenset({"market_data"})), "calm": LevelControl(0, AT)},
    targets={"maintenance.export": TargetControl(200_000, AT)},
    coalesced={("maintenance", SHEDDABLE): 31},
)
STATE = ControlState(
    CONTROLLERS,
    AT,
    leads=True,
    is_on=True,
    pins=(Pin("trade_approval", SHEDDABLE, 500_000, AT, None, "a release"),),
    modes=MODES,
    owed={("maintenance", SHEDDABLE): 2},
    jobs=tuple(
        Job(f"{queue}.{each}", "", IntervalTrigger(60_000), queue, each, expires_ms=120_000)
        for queue, criticalities in {
            "maintenance": [Criticality.CRITICAL, PLUS, SHEDDABLE],
            "market_data": [PLUS],
            "notifications": [Criticality.CRITICAL_PLUS, Criticality.CRITICAL],
            "trade_approval": [SHEDDABLE],
        }.items()
        for each in criticalities
    ),
)


def shown(state: ControlState, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """The cells of each line."""
    print_control_state(state, since=lambda instant: str(instant - AT))
    return [re.split(r" {2,}", line.strip()) for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_what_is_held_back_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    head, *rows = shown(STATE, capsys)
    assert head == [
        "queue",
        "criticality",
        "rate",
        "reason",
        "since",
        "wait",
        "waiting",
        "jobs owing",
        "coalesced",
    ]
    assert rows == [
        ["maintenance", "sheddable", "0%", "backlog", "-9000", "41.3 s, oldest message", "120", "2", "31"],
        ["maintenance", "sheddable_plus", "34.5%", "backlog", "-9000", "41.3 s, oldest message", "120"],
        ["market_data", "sheddable_plus", "50%", "objective orders_fast at L2", "0", "0.0 s, empty", "0"],
        ["notifications", "critical", "50%", "no consumer", "0", "without end: nothing is completed", "7"],
        ["trade_approval", "sheddable", "50%", "pinned: a release", "0"],
        ["20%", "target failing: task maintenance.export", "0"],
        ["objective orders_fast burns at L2: sheds market_data", "0"],
        ["paper_trading", "all", "100%"],
    ]


def test_what_is_only_observed_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    modes = {**MODES, "backlog": GateMode.OBSERVE, "failing_target": GateMode.OFF}
    rows = shown(STATE._replace(modes=modes), capsys)
    assert rows[1][3] == "backlog (only observed)"
    assert not any("target failing" in cell for row in rows for cell in row)


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (ControlState(Controllers(), AT, leads=True, is_on=True), "adaptive control: nothing is throttled"),
        (ControlState(CONTROLLERS, AT, leads=True), "adaptive control: off"),
        (ControlState(CONTROLLERS, AT), "adaptive control: no beat leads"),
        (
            ControlState(Controllers(), AT, is_kept=False),
            (
                "adaptive control: it cannot be seen here, for beat keeps what it knows in its own process; "
                "with BEAT_STATE_URL it tells"
            ),
        ),
        (ControlState(None, AT, leads=True), "adaptive control: its stored state cannot be read here"),
    ],
)
def test_where_nothing_is_held_back_one_line_says_so(
    state: ControlState, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(state, capsys)[0] == [line]


def test_a_queue_that_is_judged_by_its_length_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    queues = {
        "maintenance": QueueControl(None, WaitBasis.LENGTH, 412, AT, rates={SHEDDABLE: 100_000}, since=AT),
        "market_data": QueueControl(None, WaitBasis.LENGTH, 3),
        "notifications": QueueControl(0, WaitBasis.EMPTY, 0, by_length=True),
    }
    said, head, *rows = shown(STATE._replace(controllers=Controllers(queues=queues), pins=(), owed={}), capsys)
    assert said == [
        "adaptive control: nobody tells how long messages wait in maintenance, market_data: judged by their length"
    ]
    assert head[5:7] == ["wait", "waiting"]
    assert rows[0] == ["maintenance", "sheddable", "10%", "backlog", "0", "not known, judged by length", "412"]
    assert ["market_data", "all", "100%", "not known, judged by length", "3"] in rows


EXPORT = "maintenance.export"
FAILING = Controllers(targets={EXPORT: TargetControl(200_000, AT)})


def a_job(name: str, criticality: Criticality, *, queue: str = "maintenance") -> Job:
    return Job(name, EXPORT, IntervalTrigger(60_000), queue, criticality)


def failing(*jobs: Job, pins: tuple[Pin, ...] = (), exempt: tuple[str, ...] = ()) -> ControlState:
    exemptions = {name: Exemption(name, AT, None, "") for name in exempt}
    return ControlState(FAILING, AT, True, True, pins, MODES, jobs=jobs, exempt=exemptions)  # noqa: FBT003  # leads and is on


SWEEP, TICK = a_job("sweep", SHEDDABLE), a_job("tick", CRITICAL)


@pytest.mark.parametrize(
    ("state", "kinds"),
    [
        (failing(SWEEP), [("maintenance", "sheddable")]),
        (failing(SWEEP, TICK), [("maintenance", "sheddable")]),
        (
            failing(SWEEP, a_job("other", SHEDDABLE), a_job("far", PLUS, queue="far"), TICK),
            [("far", "sheddable_plus"), ("maintenance", "sheddable")],
        ),
        (failing(TICK, a_job("plus", CRITICAL_PLUS)), []),
        (failing(SWEEP, exempt=("sweep",)), []),
        (failing(SWEEP, a_job("other", PLUS), exempt=("sweep",)), [("maintenance", "sheddable_plus")]),
        (failing(SWEEP, pins=(Pin("maintenance", None, 0, AT, None, ""),)), []),
    ],
)
def test_a_failing_task_is_told_for_whom_it_is_held(
    state: ControlState, kinds: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for row in shown(state, capsys) if any("target failing" in cell for cell in row)]
    assert rows == [[*kind, "20%", f"target failing: task {EXPORT}", "0"] for kind in kinds]
    told: Any = json.loads(json.dumps(control_state_as_json(state)))
    holds = [{"queue": queue, "criticality": criticality} for queue, criticality in kinds]
    assert [each["holds"] for each in told["failing_tasks"]] == ([holds] if kinds else [])


def test_what_a_failing_task_owes_is_told_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    state = failing(SWEEP)._replace(owed={("maintenance", SHEDDABLE): 3})
    assert shown(state, capsys)[1:] == [["maintenance", "sheddable", "20%", f"target failing: task {EXPORT}", "0", "3"]]


@pytest.mark.parametrize(
    ("level", "mode", "words"),
    [
        (LevelControl(1, AT, sheds=frozenset()), GateMode.ENFORCE, "objective fast burns at L1: only watched"),
        (LevelControl(3, AT), GateMode.ENFORCE, "objective fast burns at L3: sheds every queue"),
        (
            LevelControl(2, AT, sheds=frozenset({"b", "a"})),
            GateMode.OBSERVE,
            "objective fast burns at L2: sheds a, b (only observed)",
        ),
        (LevelControl(0, AT), GateMode.ENFORCE, None),
        (LevelControl(3, AT), GateMode.OFF, None),
    ],
)
def test_an_objective_that_burns_is_told_once(
    level: LevelControl, mode: GateMode, words: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ControlState(Controllers(levels={"fast": level}), AT, leads=True, is_on=True, modes={**MODES, "slo": mode})
    first, *others = shown(state, capsys)
    assert first == ["adaptive control: nothing is throttled"]
    assert others[1:] == ([] if words is None else [[words, "0"]])


def test_of_two_objectives_for_a_queue_both_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    levels = {"slow": LevelControl(1, AT - 5), "fast": LevelControl(2, AT, sheds=frozenset({"maintenance"}))}
    state = failing(SWEEP)._replace(controllers=Controllers(levels=levels))
    assert shown(state, capsys)[1:] == [
        ["maintenance", "sheddable", "0%", "objective fast at L2", "0"],
        ["objective fast burns at L2: sheds maintenance", "0"],
        ["objective slow burns at L1: sheds every queue", "-5"],
    ]


UNSERVED = QueueControl(None, WaitBasis.STUCK, 7, AT, since=AT, unserved_since=AT - 9)
WAITS = ["without end: nothing is completed", "7"]


@pytest.mark.parametrize(
    ("jobs", "pins", "rows"),
    [
        ([CRITICAL_PLUS], (), [["maintenance", "all", "100%", "no consumer", "-9", *WAITS]]),
        ([CRITICAL_PLUS, SHEDDABLE], (), [["maintenance", "sheddable", "0%", "no consumer", "-9", *WAITS]]),
        (
            [CRITICAL_PLUS, SHEDDABLE],
            (Pin("maintenance", None, 500_000, AT, None, ""),),
            [["maintenance", "sheddable", "50%", "pinned", "0", *WAITS], ["maintenance", "no consumer", "-9", *WAITS]],
        ),
    ],
)
def test_that_nobody_serves_a_queue_is_told_whatever_goes_to_it(
    jobs: list[Criticality], pins: tuple[Pin, ...], rows: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    state = failing(*(a_job(each.value, each) for each in jobs), pins=pins)
    told = shown(state._replace(controllers=Controllers(queues={"maintenance": UNSERVED})), capsys)
    assert [row for row in told if row[0] == "maintenance"] == rows


def test_a_fire_that_is_still_owed_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    state = ControlState(Controllers(), AT, leads=True, is_on=True, owed={("q", SHEDDABLE): 3})
    assert shown(state, capsys)[1] == ["q", "sheddable", "100%", "3"]


def test_a_queue_of_another_application_is_told_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    controllers = Controllers(queues={"theirs": QueueControl(rates={SHEDDABLE: 0})})
    state = ControlState(controllers, AT, leads=True, is_on=True, modes=MODES)
    assert shown(state, capsys)[1] == ["theirs", "sheddable", "0%", "backlog"]


def test_what_the_leader_owes_is_told_with_its_throttle_whatever_is_on_here(capsys: pytest.CaptureFixture[str]) -> None:
    rows = shown(STATE._replace(jobs=(), pins=()), capsys)
    assert [row[:4] for row in rows if row[0] == "maintenance"] == [["maintenance", "sheddable", "0%", "backlog"]]


def test_the_same_as_json() -> None:
    told: Any = json.loads(json.dumps(control_state_as_json(STATE)))
    assert (told["on"], told["as_of"], told["gates"]) == (True, "2026-01-05T12:00:00.000Z", dict(MODES))
    assert told["throttled"][1] == {
        "queue": "maintenance",
        "criticality": "sheddable_plus",
        "rate": 0.345,
        "reason": "throttled",
        "since": "2026-01-05T11:59:51.000Z",
        "observed": False,
        "objective": None,
        "level": None,
        "note": "",
    }
    assert told["queues"][0] == {
        "queue": "maintenance",
        "wait_ms": 41_300,
        "basis": "oldest",
        "messages": 120,
        "unserved": False,
    }
    assert told["objectives"] == [
        {"objective": "calm", "level": 0, "since": "2026-01-05T12:00:00.000Z", "sheds": None},
        {"objective": "orders_fast", "level": 2, "since": "2026-01-05T12:00:00.000Z", "sheds": ["market_data"]},
    ]
    assert told["failing_tasks"] == [
        {
            "task": "maintenance.export",
            "rate": 0.2,
            "since": "2026-01-05T12:00:00.000Z",
            "observed": False,
            "holds": None,
        }
    ]
    assert told["owed"] == [{"queue": "maintenance", "criticality": "sheddable", "count": 2}]
    assert told["coalesced"] == [{"queue": "maintenance", "criticality": "sheddable", "count": 31}]
    assert control_state_as_json(None) is None


def opened(redis_url: str) -> BrokerRedis:
    redis = open_broker_redis(Celery("minsy", broker=redis_url))
    assert redis is not None
    return redis


def test_the_command_reads_what_is_kept_and_said(tmp_path: Path, redis_url: str) -> None:
    now = to_instant(datetime.now(UTC).replace(microsecond=0))
    assert "adaptive control: no beat leads" in lines_of(status(tmp_path, redis_url))
    leader = BeatStatus(
        "host:1:ab",
        Standing.LEADING,
        7,
        now,
        now,
        7,
        control=MODES,
        owed={("maintenance", SHEDDABLE): 2},
    )
    said_to(redis_url, leader)
    assert "adaptive control: nothing is throttled" not in lines_of(status(tmp_path, redis_url))
    redis = opened(redis_url)
    (tmp_path / ".env.dev.beat").write_text("PAPER_TRADING_ENABLED=true\nTRADING_APPROVAL_ENABLED=true\n")
    for queue in ("paper_trading", "trade_approval", "notifications"):
        RedisControl(redis).pin(Pin(queue, None, 0, now, None, ""))
    KeptControllers(redis).write(controllers_text(CONTROLLERS))
    redis.close()
    lines = lines_of(status(tmp_path, redis_url))
    since = f"{to_datetime(AT - 9_000):%Y-%m-%dT%H:%M:%S}+00:00"
    assert f"maintenance sheddable 0% backlog {since} 41.3 s, oldest message 120 2 31" in lines
    # In the second queue there is only critical_plus work, and no job of the third is on.
    assert [line.split()[:2] for line in lines if " 0% pinned" in line] == [["paper_trading", "critical"]]
    told = json.loads(status(tmp_path, redis_url, "--json"))["control"]
    assert {(each["queue"], each["reason"]) for each in told["throttled"]} >= {
        ("maintenance", "throttled"),
        ("paper_trading", "pinned"),
    }


def test_a_state_that_is_not_ours_is_left_where_it_is(tmp_path: Path, redis_url: str) -> None:
    redis = opened(redis_url)
    KeptControllers(redis).write("not ours")
    lines = lines_of(status(tmp_path, redis_url))
    assert "adaptive control: its stored state cannot be read here" in lines
    assert json.loads(status(tmp_path, redis_url, "--json"))["control"]["readable"] is False
    assert redis.client.get(redis.key("beat:controllers")) == b"not ours"
    redis.close()
