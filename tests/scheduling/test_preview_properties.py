"""A preview says what the engine then does, fire by fire, whatever the jobs, the calendar and the readings."""

import os
import subprocess
import sys
from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from packages.scheduling.control.controllers import Controllers
from packages.scheduling.decision import Decision
from packages.scheduling.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from packages.scheduling.policies import OverlapMode, UnknownDates
from packages.scheduling.preview import preview
from packages.scheduling.state import JobState
from packages.shared_settings.layers import ROOT
from tests.scheduling.generated import Scene, comparable, controllers, scenes, spoken, stepped

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def previewed(scene: Scene) -> list[Decision]:
    found = preview(scene.jobs, scene.snapshot, start=scene.start, end=scene.end)
    assert not found.failures
    return [decision for decision in found.decisions() if decision.is_final]


def is_settled(scene: Scene) -> bool:
    """Whether what waits at the start can be known: not while it waits for a run, or for a calendar to begin."""
    for job in scene.jobs:
        waits_for_run = job.policies.overlap is OverlapMode.BUFFER_ONE and scene.snapshot.running is not None
        windows = job.policies.windows
        if waits_for_run or (windows and windows.outside_sessions_of and windows.unknown is UnknownDates.FAIL_CLOSED):
            return False
    return True


@QUICK
@given(scene=scenes(), data=st.data())
def test_it_is_what_the_engine_does_from_the_same_states(scene: Scene, data: st.DataObject) -> None:
    behind = st.sampled_from([1, 999, MINUTE_MS, 7 * HOUR_MS])
    states = {job.name: JobState(watermark=scene.start - data.draw(behind)) for job in scene.jobs}
    found = preview(scene.jobs, scene.snapshot, start=scene.start, end=scene.end, states=states)
    assert not found.failures
    decisions = [decision for decision in found.decisions() if decision.is_final]
    live = stepped(scene.jobs, scene.snapshot, states, start=scene.start, end=scene.end)
    # One that was planned just before the start is still on time, and none of the preview's.
    assert comparable(decisions) == comparable([decision for decision in live if decision.at >= scene.start])


@QUICK
@given(scene=scenes(), throttling=controllers(), data=st.data())
def test_it_is_what_a_throttled_engine_does_from_the_same_states(
    scene: Scene, throttling: Controllers, data: st.DataObject
) -> None:
    credits_ = st.none() | st.integers(0, 999_999)
    states = {job.name: JobState(watermark=scene.start - 1, credit=data.draw(credits_)) for job in scene.jobs}
    snapshot = data.draw(spoken(scene))._replace(controllers=throttling)
    found = preview(scene.jobs, snapshot, start=scene.start, end=scene.end, states=states)
    assert not found.failures
    decisions = [decision for decision in found.decisions() if decision.is_final]
    live = stepped(scene.jobs, snapshot, states, start=scene.start, end=scene.end)
    assert comparable(decisions) == comparable([decision for decision in live if decision.at >= scene.start])


@QUICK
@given(scene=scenes(shortest=90 * SECOND_MS))
def test_it_is_what_an_engine_does_that_has_run_all_along(scene: Scene) -> None:
    assume(is_settled(scene))
    for job in scene.jobs:
        # Longer than any jitter; and longer than a week, in which every window has opened.
        lead_ms = 9 * DAY_MS if job.policies.windows is not None else 5 * HOUR_MS
        state = JobState(watermark=scene.start - lead_ms)
        live = stepped([job], scene.snapshot, {job.name: state}, start=state.watermark, end=scene.end)
        since = [decision for decision in live if decision.at >= scene.start]
        assert comparable(previewed(replace(scene, jobs=[job]))) == comparable(since)


@QUICK
@given(scene=scenes(), part=st.floats(0.01, 0.99))
def test_two_parts_are_the_whole(scene: Scene, part: float) -> None:
    assume(is_settled(scene))
    assume(scene.end - scene.start > 1)
    middle = scene.start + max(1, int((scene.end - scene.start) * part))
    parts = previewed(replace(scene, end=middle)) + previewed(replace(scene, start=middle))
    assert comparable(parts) == comparable(previewed(scene))


@QUICK
@given(scene=scenes())
def test_one_job_does_not_change_another(scene: Scene) -> None:
    alone = [decision for job in scene.jobs for decision in previewed(replace(scene, jobs=[job]))]
    assert comparable(alone) == comparable(previewed(scene))


@QUICK
@given(scene=scenes(), late_ms=st.integers(0, 999))
def test_to_wake_late_by_less_than_a_second_changes_nothing(scene: Scene, late_ms: int) -> None:
    # What waits may be found together with what replaces it; a second fire may find the first one in the same tick.
    jobs = [replace(job, policies=replace(job.policies, windows=None, overlap=OverlapMode.ALLOW)) for job in scene.jobs]
    states = {job.name: JobState(watermark=scene.start) for job in jobs}
    on_time = stepped(jobs, scene.snapshot, states, start=scene.start, end=scene.end)
    late = stepped(jobs, scene.snapshot, states, start=scene.start, end=scene.end, late_ms=late_ms)
    assert comparable(late) == comparable(on_time)


_PRINT_A_PREVIEW = """
import hashlib
from packages.scheduling.preview import preview
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.policies import Policies, TradingHours
from packages.scheduling.triggers.cron_parse import parse_cron
from packages.scheduling.windows import parse_windows
from tests.scheduling.jobs import MIDNIGHT, a_job
from tests.scheduling.markets import a_table

market = a_table([("2026-03-02 14:30", "2026-03-02 21:00")], [("2026-03-03 14:30", "2026-03-03 21:00")])
jobs = [
    a_job("area.ticks", every=7_000, policies=Policies(jitter_ms=3_000, trading_hours=TradingHours(("TEST", "24/7")))),
    a_job("area.cron", trigger=parse_cron("*/20 1-23/2 * * 1-5", zone="America/New_York")),
    a_job("area.night", policies=Policies(jitter_ms=60_000, windows=parse_windows("22:00-03:00 Europe/London"))),
]
found = preview(jobs, Snapshot(MIDNIGHT, markets={"TEST": market}), start=MIDNIGHT, end=MIDNIGHT + 2 * 86_400_000)
print(len(found), hashlib.sha256(repr(list(found.decisions())).encode()).hexdigest())
"""


def test_it_is_the_same_in_every_process() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", _PRINT_A_PREVIEW],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(said) == 1
    assert int(said.pop().split()[0]) > 20_000
