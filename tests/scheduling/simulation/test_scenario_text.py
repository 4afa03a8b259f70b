"""Scenarios out of TOML: what they say, and how they are refused."""

import re

import pytest

from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.model import Criticality
from packages.scheduling.policies import CatchUpMode, GateMode, OverlapMode
from packages.scheduling.simulation.scenario import (
    Backlog,
    Blind,
    Failing,
    InFlight,
    QueueOrder,
    Resized,
    Scenario,
    ScenarioError,
    ServiceTime,
    Slowed,
    Stopped,
)
from packages.scheduling.simulation.scenario_text import scenario_of

LEAST = """
title = "The least there may be"
length = "1h"
[queues.area]
delay_objective = "1m"
[workers.worker]
queues = ["area"]
processes = 2
[jobs.sweep]
task = "area.sweep"
queue = "area"
criticality = "sheddable"
every = "1m"
service = { constant = "1s" }
"""
FULL = """
title = "All there is"
length = "1h30m"
begins = 2026-03-02T08:00:00Z
message = "5ms"
visibility_timeout = "20m"
message_priorities = false
[queues]
area = { delay_objective = "1m" }
other = { delay_objective = "250ms" }
[workers.worker]
queues = ["area", "other"]
processes = 2
in_flight = "lost"
order = "priority"
[jobs."area.sweep"]
count = 3
task = "area.sweep"
queue = "area"
criticality = "sheddable_plus"
every = "1m"
spread = true
jitter = "5s"
service = { median = "2s", sigma = 0.5 }
failing = 0.1
expires = "2m"
max_staleness = "10m"
catch_up = "all"
overlap = "buffer_one"
from = "10m"
until = "1h"
[jobs.report]
task = "other.report"
queue = "other"
criticality = "critical"
cron = "30 8 * * *"
service = { constant = "1s" }
[control]
interval_ms = 2000
[control.backlog]
mode = "observe"
increase = 30000
[control.backlog.targets_ms]
other = 2000
[control.backlog.least_rates]
sheddable_plus = 100000
[control.target]
least_runs = 5
[[events]]
at = "15m"
for = "10m"
what = "processes"
worker = "worker"
processes = 1
[[events]]
at = "0s"
what = "stop"
worker = "worker"
[[events]]
at = "1s"
what = "slow"
factor = 5
task = "area.sweep"
[[events]]
at = "1s"
what = "failures"
task = "other.report"
share = 1
[[events]]
at = "2s"
what = "backlog"
jobs = "area.sweep"
messages = 10
over = "1h"
[[events]]
at = "3s"
what = "blind"
"""

LONELY = """
[queues.lonely]
delay_objective = "1s"
[jobs.a]
task = "a.a"
queue = "lonely"
criticality = "critical"
every = "1m"
service = { constant = "1s" }
"""


def parsed(text: str) -> Scenario:
    return scenario_of(text, name="name", source="file.toml")


def test_all_that_a_scenario_may_say() -> None:
    scenario = parsed(FULL)
    assert (scenario.name, scenario.title, scenario.length_ms) == ("name", "All there is", 5_400_000)
    assert (scenario.begins, scenario.message_ms, scenario.visibility_ms) == (1_772_438_400_000, 5, 1_200_000)
    assert not scenario.message_priorities
    assert scenario.objectives_ms == {"area": 60_000, "other": 250}
    (worker,) = scenario.workers
    assert (worker.queues, worker.processes) == (("area", "other"), 2)
    assert (worker.in_flight, worker.order) == (InFlight.LOST, QueueOrder.PRIORITY)
    sweep, report = scenario.groups
    assert (sweep.name, sweep.count, sweep.every_ms, sweep.spread, sweep.jitter_ms) == (
        "area.sweep",
        3,
        60_000,
        True,
        5_000,
    )
    assert (sweep.service, sweep.failing, sweep.expires_ms) == (ServiceTime(2_000, 0.5), 0.1, 120_000)
    assert (sweep.catch_up, sweep.overlap, sweep.max_staleness_ms) == (CatchUpMode.ALL, OverlapMode.BUFFER_ONE, 600_000)
    assert (sweep.begins_at, sweep.ends_at, sweep.criticality) == (600_000, 3_600_000, Criticality.SHEDDABLE_PLUS)
    assert (report.cron, report.every_ms, report.service) == ("30 8 * * *", None, ServiceTime(1_000))
    assert scenario.events == (
        Resized(900_000, "worker", 1, 600_000),
        Stopped(0, "worker"),
        Slowed(1_000, 5.0, task="area.sweep"),
        Failing(1_000, "other.report", 1.0),
        Backlog(2_000, "area.sweep", 10, 3_600_000),
        Blind(3_000),
    )
    control, default = scenario.control, ControlPolicy()
    assert (control.interval_ms, control.stale_ms) == (2_000, default.stale_ms)
    assert (control.backlog.mode, control.backlog.increase) == (GateMode.OBSERVE, 30_000)
    assert control.backlog.target_of("other") == 2_000
    assert control.backlog.least_rates[Criticality.SHEDDABLE_PLUS] == 100_000
    assert control.backlog.least_rates[Criticality.CRITICAL] == default.backlog.least_rates[Criticality.CRITICAL]
    assert (control.target.least_runs, control.slo) == (5, default.slo)


def test_what_is_not_said_is_the_default() -> None:
    scenario = parsed(LEAST)
    assert scenario.control == ControlPolicy()
    assert scenario.events == ()
    assert scenario.message_priorities
    assert scenario.groups[0].count == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "The least there may be"', "", "title: is missing"),
        ('title = "The least there may be"', "title = 3", "title: must be a text, not 3"),
        (
            'length = "1h"',
            'length = "an hour"',
            "length: must be a duration such as 250ms, 90s or 1h30m, not",
        ),
        ('length = "1h"', "length = 60", "length: must be a duration"),
        ('length = "1h"', 'length = ""', "length: must be a duration"),
        ('length = "1h"', 'lenght = "1h"', "length: is missing; 'lenght' is not known here, is it meant?"),
        ('length = "1h"', 'length = "30s"', "length: must be from 1m to 7d, not '30s'"),
        ('length = "1h"', 'length = "8d"', "length: must be from 1m to 7d"),
        ('length = "1h"', 'length = "1h"\nbegins = 2026-03-02', "begins: must be a date-time with an offset"),
        ('length = "1h"', 'length = "1h"\nmessage = "5s"', "message: must be at most 1000ms"),
        ('length = "1h"', 'length = "1h"\nmessage_priorities = 1', "message_priorities: must be true or false, not 1"),
        (
            'length = "1h"',
            'length = "1h"\nlenght = "1h"',
            "lenght: is not known here; allowed: begins, control",
        ),
        ("[queues.area]", "[queues]\n[queues.area]\nsize = 3", "queues.area.size: is not known here"),
        ('delay_objective = "1m"', "", "queues.area.delay_objective: is missing"),
        ('[queues.area]\ndelay_objective = "1m"', "[queues]", "queues: must have at least one queue"),
        ('queues = ["area"]', 'queues = ["other"]', "workers.worker.queues: there is no queue 'other'; there is area"),
        ('queues = ["area"]', "queues = []", "workers.worker.queues: must be a list of texts, at least one"),
        ('queues = ["area"]', 'queues = ["area", "area"]', "workers.worker.queues: has the same text twice"),
        ("processes = 2", "processes = 0", "workers.worker.processes: must be a whole number from 1 to 10,000, not 0"),
        ("processes = 2", "processes = true", "workers.worker.processes: must be a whole number"),
        ("processes = 2", "processes = 2.0", "workers.worker.processes: must be a whole number"),
        ("processes = 2", 'processes = 2\nin_flight = "gone"', "must be one of returned, visibility, lost, not 'gone'"),
        ('every = "1m"', "", "jobs.sweep.every: a group has either every, a duration, or cron"),
        ('every = "1m"', 'every = "1m"\ncron = "* * * * *"', "jobs.sweep.every: a group has either"),
        ('every = "1m"', 'cron = "99 * * * *"', "jobs.sweep: the cron '99 * * * *'"),
        ('every = "1m"', 'cron = "0 * * * *"\nspread = true', "jobs.sweep.spread: goes with every"),
        ('every = "1m"', 'every = "1m"\njitter = "1m"', "jobs.sweep.jitter: must be below every"),
        ('every = "1m"', 'every = "1m"\nspread = 1', "jobs.sweep.spread: must be true or false, not 1"),
        ('every = "1m"', 'every = "1m"\nfrom = "1h"', "jobs.sweep.from: a group is active within the scenario"),
        ('every = "1m"', 'every = "1m"\nuntil = "2h"', "jobs.sweep.until: a group is active within the scenario"),
        ('every = "1m"', 'every = "1m"\noverlap = "cancel_other"', "jobs.sweep.overlap: cancel_other is not simulated"),
        ('every = "1m"', 'every = "1m"\nfailing = nan', "jobs.sweep.failing: must be a number from 0 to 1, not nan"),
        ('every = "1m"', 'every = "1m"\ncount = 20001', "jobs.sweep.count: must be a whole number from 1 to 20,000"),
        ('queue = "area"', 'queue = "no"', "jobs.sweep.queue: there is no queue 'no'; there is area"),
        ('criticality = "sheddable"', 'criticality = "high"', "jobs.sweep.criticality: must be one of critical_plus,"),
        ('service = { constant = "1s" }', "service = 1", "jobs.sweep.service: must be a table, not 1"),
        ('service = { constant = "1s" }', 'service = { mean = "1s" }', "jobs.sweep.service.median: is missing"),
        ('{ constant = "1s" }', '{ constant = "1s", sigma = 1 }', "jobs.sweep.service.sigma: is not known here"),
        (
            '{ constant = "1s" }',
            '{ median = "1s", sigma = 9 }',
            "service.sigma: must be a number from 0 to 3",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_what_is_allowed(old: str, new: str, said: str) -> None:
    assert old in LEAST
    with pytest.raises(ScenarioError, match=re.escape(said)) as refused:
        parsed(LEAST.replace(old, new, 1))
    assert str(refused.value).startswith("file.toml: ")


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("[control]\ninterval = 3", "control.interval: is not known here"),
        ("[control]\ninterval_ms = 0", "control: the control interval, 0 ms, is not between"),
        ("[control.backlog]\ndecrease = 0.1", "control.backlog.decrease: must be a whole number"),
        (
            "[control.backlog]\ntarget_ms = 60000",
            "control.backlog: the target of every queue, 60000 ms, is",
        ),
        ("[control.backlog.targets_ms]\nno = 1000", "control.backlog.targets_ms.no: is not known here; allowed: area"),
        ("[control.backlog.least_rates]\ncritical = 0", "control.backlog: the least rate of critical work"),
        ("[control.slo]\nobjectives = []", "control.slo.objectives: is not known here"),
        ("[control.backlog]\nmode = 'on'", "control.backlog.mode: must be one of off, observe, enforce, not 'on'"),
        ("[events]\nat = '1s'", "events: must be an array of tables, [[events]]"),
        ("[[events]]\nat = '2h'\nwhat = 'blind'", "events[0].at: must be before the end of the scenario"),
        ("[[events]]\nat = '1s'\nwhat = 'rain'", "events[0].what: must be one of processes, stop, slow,"),
        ("[[events]]\nat = '1s'\nwhat = 'stop'\nworker = 'no'", "events[0].worker: there is no worker 'no'"),
        ("[[events]]\nat = '1s'\nwhat = 'stop'\nworker = 'worker'\nprocesses = 1", "events[0].processes: is not known"),
        ("[[events]]\nat = '1s'\nwhat = 'slow'\nfactor = 0", "events[0].factor: must be a number from 0.01 to 1000"),
        (
            "[[events]]\nat = '1s'\nwhat = 'slow'\nfactor = 2\ntask = 'area.sweep'\nqueue = 'area'",
            "events[0].queue: name a task or a queue",
        ),
        ("[[events]]\nat = '1s'\nwhat = 'slow'\nfactor = 2\ntask = 'area.no'", "events[0].task: there is no task"),
        (
            "[[events]]\nat = '1s'\nwhat = 'backlog'\njobs = 'no'\nmessages = 1",
            "events[0].jobs: there is no group of jobs 'no'; there is sweep",
        ),
        (
            "[[events]]\nat = '1s'\nwhat = 'backlog'\njobs = 'sweep'\nmessages = 1\nfor = '1s'",
            "events[0].for: is not known here",
        ),
        (
            LONELY,
            "jobs.a.queue: no worker serves 'lonely'",
        ),
        ("a = [", "is no TOML: "),
    ],
)
def test_what_is_wrong_beside_the_least(added: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(said)):
        parsed(f"{LEAST}\n{added}\n")
