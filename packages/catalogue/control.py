"""The thresholds of the adaptive control, as the settings give them. Contradictions are refused, all of them at once.

Nothing is decided here about what a threshold does; that is said by the engine.
"""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import pairwise
from typing import NamedTuple

from packages.catalogue.queues import QUEUES
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.control.policy import SHEDDING_ORDER, BacklogPolicy, ControlPolicy, SloPolicy, TargetPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.instants import MINUTE_MS, SECOND_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.errors import SettingsError


class SlowTarget(NamedTuple):
    """A wait may stand in a queue that is longer than the period of a job there: each fire meets the one before it."""

    queue: str
    target_ms: int
    job: str
    period_ms: int


def control_policy(settings: BeatSettings, objectives: tuple[Objective, ...] = ()) -> ControlPolicy:
    """The thresholds, checked whether their gates are on or not. `objectives`: those of the file that is named there.

    Raises:
        SettingsError: they contradict each other, or name a queue that is none; it has all of them.
    """
    problems = [
        settings.problem_with(field, problem)
        for field, problem in (*_contradictions(settings), *_wrong_targets(settings), *_unasked(settings, objectives))
    ]
    if problems:
        raise SettingsError(*problems)
    return ControlPolicy(
        interval_ms=settings.control_interval_seconds * SECOND_MS,
        stale_ms=settings.control_readings_stale_seconds * SECOND_MS,
        backlog=BacklogPolicy(
            mode=GateMode(settings.backlog_gate),
            target_ms=_ms(settings.backlog_target_seconds),
            targets_ms={queue: _ms(target) for queue, target in settings.backlog_target_seconds_by_queue.items()},
            target_messages=settings.backlog_target_messages,
            standing_ms=settings.backlog_standing_seconds * SECOND_MS,
            again_ms=settings.backlog_look_again_seconds * SECOND_MS,
            drained_ms=settings.backlog_drained_seconds * SECOND_MS,
            calm=_millionths(settings.backlog_calm_share),
            decrease=_millionths(settings.backlog_decrease),
            most_decrease=_millionths(settings.backlog_most_decrease),
            grave=settings.backlog_grave_targets,
            increase=_millionths(settings.backlog_increase),
            most_doubled=settings.backlog_most_doubled,
            least_rates={Criticality(name): _millionths(rate) for name, rate in settings.backlog_least_rates},
        ),
        slo=SloPolicy(
            mode=GateMode(settings.slo_gate),
            objectives=objectives,
            dwell_ms=settings.slo_dwell_minutes * MINUTE_MS,
            least_events=settings.slo_least_events,
            burns=(
                _millionths(settings.slo_burn_rate_l1),
                _millionths(settings.slo_burn_rate_l2),
                _millionths(settings.slo_burn_rate_l3),
            ),
        ),
        target=TargetPolicy(
            mode=GateMode(settings.failing_target_gate),
            succeeding=_millionths(settings.failing_target_succeeding),
            most_shed=_millionths(settings.failing_target_most_shed),
            least_runs=settings.failing_target_least_runs,
        ),
    )


def slow_targets(policy: BacklogPolicy, jobs: Iterable[Job]) -> tuple[SlowTarget, ...]:
    """By queue, its job with the shortest period where that is below the queue's target: allowed, and worth a word."""
    shortest: dict[str, SlowTarget] = {}
    for job in jobs:
        if not isinstance(job.trigger, IntervalTrigger):
            continue
        target_ms, period_ms = policy.target_of(job.queue), job.trigger.period_ms
        known = shortest.get(job.queue)
        if target_ms > period_ms and (known is None or period_ms < known.period_ms):
            shortest[job.queue] = SlowTarget(job.queue, target_ms, job.name, period_ms)
    return tuple(shortest.values())


def _contradictions(settings: BeatSettings) -> Iterator[tuple[str, str]]:
    """Fields that do not agree with another one, and why."""
    standing = settings.backlog_standing_seconds
    interval, stale = settings.control_interval_seconds, settings.control_readings_stale_seconds
    if interval > standing:
        yield (
            "control_interval_seconds",
            f"{interval} is above BACKLOG_STANDING_SECONDS ({standing}), so one look would judge a queue",
        )
    if stale < interval:
        yield (
            "control_readings_stale_seconds",
            f"{stale} is below CONTROL_INTERVAL_SECONDS ({interval}), so a reading would be too old for its interval",
        )
    if (again := settings.backlog_look_again_seconds) > standing:
        yield (
            "backlog_look_again_seconds",
            f"{again} is above BACKLOG_STANDING_SECONDS ({standing}), so a throttled queue would be judged the later",
        )
    most, decrease = settings.backlog_most_decrease, settings.backlog_decrease
    if _millionths(most) < _millionths(decrease):
        yield "backlog_most_decrease", f"{most:g} is below BACKLOG_DECREASE ({decrease:g})"
    burns = settings.slo_burn_rate_l1, settings.slo_burn_rate_l2, settings.slo_burn_rate_l3
    for below, (slower, faster) in enumerate(pairwise(burns), start=1):
        if _millionths(faster) < _millionths(slower):
            yield f"slo_burn_rate_l{below + 1}", f"{faster:g} is below SLO_BURN_RATE_L{below} ({slower:g})"
    least = {Criticality(name): rate for name, rate in settings.backlog_least_rates}
    for lower, higher in pairwise(SHEDDING_ORDER):
        if _millionths(least[lower]) > _millionths(least[higher]):
            yield (
                "backlog_least_rates",
                f"{lower} is {least[lower]:g}, above {higher} ({least[higher]:g}), which matters more",
            )


def _wrong_targets(settings: BeatSettings) -> Iterator[tuple[str, str]]:
    standing = settings.backlog_standing_seconds
    too_long = (
        f"is not below BACKLOG_STANDING_SECONDS ({standing}), so a burst that drains could not be told from a queue "
        "that stands"
    )
    if _ms(settings.backlog_target_seconds) >= standing * SECOND_MS:
        yield "backlog_target_seconds", f"{settings.backlog_target_seconds:g} {too_long}"
    known = [queue.name for queue in QUEUES]
    for queue, target in settings.backlog_target_seconds_by_queue.items():
        if queue not in known:
            close = get_close_matches(queue, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            yield "backlog_target_seconds_by_queue", f"unknown queue {queue!r}; {hint}"
        elif _ms(target) >= standing * SECOND_MS:
            yield "backlog_target_seconds_by_queue", f"{queue!r} is {target:g}, which {too_long}"


def _unasked(settings: BeatSettings, objectives: tuple[Objective, ...]) -> Iterator[tuple[str, str]]:
    external = [each.name for each in objectives if each.measure is Measure.EXTERNAL]
    if external and settings.slo_gate != "off" and settings.slo_prometheus_url is None:
        yield (
            "slo_prometheus_url",
            f"it is not set, and objectives of SLO_OBJECTIVES_FILE are to be asked for there: {', '.join(external)}",
        )


def _ms(seconds: float) -> int:
    return round(seconds * SECOND_MS)


def _millionths(share: float) -> int:
    return round(share * ONE)
