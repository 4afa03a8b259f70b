"""What share of the fires of a failing task is let through, once a control interval.

    shed = min(most_shed, max(0, (n - n_ok / succeeding) / (n + 1)))        n runs lately, n_ok of them well

The source counts attempts, also those that were not made. Here only runs are known, so each run of a throttled task
stands for the 1 / rate of them that there would have been: both counts are divided by the rate before they are used.

    unthrottled ──(at least `least_runs` runs, too many failed)──> throttled: at once as far as the formula says
    throttled ──(the formula says less)──> the rate doubles at most, and goes on when that rate, too, has its runs
    throttled ──(too few runs, or nobody can tell)──> the rate rises slowly

So one probe that goes well by luck does not open the gate, many that do open it within a few control intervals, and a
throttle that nothing speaks for wears off.

A task of which no job is held is not asked about here. Of one that has critical jobs as well nobody tells their runs
apart; they, too, stand for several. The share that goes well hardly changes by it, only fewer runs are asked for.

Source: Google SRE book, chapter 21, "Client-Side Throttling"; Envoy's admission control. It decides nothing about a
single fire.
"""

from collections.abc import Mapping
from typing import Final

from packages.scheduling.control.controllers import TargetControl
from packages.scheduling.control.policy import TargetPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.readings import TaskReading
from packages.scheduling.snapshot import Reading

# Of a throttle that nothing speaks for, in one control interval: from a fifth to the whole in 80 of them.
WEARS_OFF: Final = 10_000


def step_targets(  # noqa: PLR0913  # all that is known
    targets: Mapping[str, TargetControl],
    tasks: Mapping[str, Reading[TaskReading]],
    policy: TargetPolicy,
    now: int,
    *,
    stale_ms: int,
    is_obeyed: bool = True,
) -> dict[str, TargetControl]:
    """The next state of every task that is throttled; the others are not there. A stale reading is an absent one.

    Where the rates are not obeyed each run stands for itself.
    """
    after: dict[str, TargetControl] = {}
    for task in sorted({*targets, *tasks}):
        before = targets.get(task)
        # The policy may have changed, and a rate of nothing would stay nothing.
        rate = ONE if before is None else max(before.rate, ONE - policy.most_shed)
        reading = tasks.get(task)
        made = rate if is_obeyed else ONE
        if reading is not None and reading.age_ms(now) <= stale_ms and _says(reading.value, made, policy):
            rate = min(2 * rate, ONE - _shed(reading.value, made, policy))
        else:
            rate += WEARS_OFF
        if rate < ONE:
            after[task] = TargetControl(rate, since=now if before is None else min(before.since, now))
    return after


def _says(reading: TaskReading, rate: int, policy: TargetPolicy) -> bool:
    """Whether there would have been `least_runs` of an unthrottled task."""
    return reading.runs * ONE >= policy.least_runs * rate


def _shed(reading: TaskReading, rate: int, policy: TargetPolicy) -> int:
    """The formula, of n / rate and n_ok / rate, in millionths; rounded down."""
    beyond = reading.runs * policy.succeeding - reading.succeeded * ONE
    return min(policy.most_shed, max(0, beyond * ONE * ONE // (policy.succeeding * (reading.runs * ONE + rate))))
