"""Triggers name the same instants and are described alike in every process, whatever the seed of its hashes."""

import os
import subprocess
import sys

from packages.shared_settings.layers import ROOT

PROGRAM = """
import pickle
from packages.scheduling.triggers.bounded import Limited, Within
from packages.scheduling.triggers.cron_parse import parse_cron
from packages.scheduling.triggers.excluding import Excluding
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.triggers.one_off import OneOff
from packages.scheduling.triggers.union import Union

START = 1_767_225_600_000
spread = IntervalTrigger(3_600_000).spread_by("reports.daily")
cron = parse_cron("*/7,3 1-22 L,LW,5 * fri#2,mon#1", zone="America/New_York")
union = Union((cron, OneOff(START + 1), spread))
triggers = [spread, cron, union, Excluding(union, spread), Limited(cron, 50, START), Within(spread, START)]
for trigger in triggers:
    at, found = START, []
    for _ in range(200):
        at = trigger.next_after(at)
        if at is None:
            break
        found.append(at)
    print(trigger.describe(), repr(trigger), found, pickle.loads(pickle.dumps(trigger)) == trigger)
"""


LIVE_PATH = """
import sys
from packages.scheduling.triggers.bounded import Limited, Within
from packages.scheduling.triggers.cron import CronTrigger
from packages.scheduling.triggers.excluding import Excluding
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.triggers.union import Union

START = 1_767_225_600_000
daily = CronTrigger.of_sets(minutes={30}, hours={2}, zone="America/New_York")
trigger = Limited(Within(Union((daily, Excluding(IntervalTrigger(3_600_000), daily))), START), 100, START)
print(trigger.next_after(START), trigger.describe())
print(sorted({"numpy", "croniter"} & sys.modules.keys()))
"""


def output(program: str, *, seed: str = "0") -> str:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


def test_the_seed_of_hashes_changes_nothing() -> None:
    first = output(PROGRAM, seed="1")
    assert len(first.splitlines()) == 6
    assert "False" not in first.replace("last_day=False", "").replace("last_workday=False", "")
    assert output(PROGRAM, seed="2") == first


def test_one_next_fire_needs_neither_numpy_nor_croniter() -> None:
    """Importing the two would make the start of beat a third longer."""
    assert output(LIVE_PATH).splitlines()[-1] == "[]"
