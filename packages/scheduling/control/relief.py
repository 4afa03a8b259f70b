"""Whose rates are cut in one control interval, and how far: of all queues that need it at once, by one state.

The least critical rate that is not at its least comes first: of the queue, else of those that share its workers. A rate
is cut once, as deep as the queue needs that needs it most. Decides nothing about a single fire.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final, NamedTuple

from packages.scheduling.control.controllers import QueueControl
from packages.scheduling.control.groups import Group
from packages.scheduling.control.look import Look, cut_rate, fitting_rate, fitting_rate_beside
from packages.scheduling.control.policy import SHEDDING_ORDER, BacklogPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.model import Criticality

# A rate below this share lets through so little that nothing is as good.
_AS_GOOD_AS_NONE: Final = 20_000
# So much at least of a rate beside a queue that does not drain: how much room it makes nobody has measured.
_LEAST_BESIDE: Final = 50_000
# Of all but the least critical no more is cut at once: who has it makes the long runs of the rest wait.
_MOST_OF_WHAT_MATTERS: Final = 500_000
_Key = tuple[str, Criticality]


class Need(NamedTuple):
    """A queue whose wait has stood for long enough. `grown`: by how many messages since it was last looked at.

    `is_grave`: the wait is several targets.
    """

    queue: str
    look: Look
    grown: int
    is_grave: bool


def relieved(
    needs: Collection[Need], seen: Mapping[str, QueueControl], groups: Mapping[str, Group], policy: BacklogPolicy
) -> dict[str, QueueControl]:
    """The queues whose rates are cut, with them. The order of the needs does not matter."""
    cuts: dict[_Key, Look] = {}
    causes: dict[_Key, Look] = {}
    along: dict[tuple[Group, Criticality], list[Need]] = {}
    for need in sorted(needs):
        group = groups[need.queue]
        for number, (criticality, is_own) in enumerate(_asked(need, seen, group, policy)):
            if not is_own:
                along.setdefault((group, criticality), []).append(need)
                continue
            cuts[need.queue, criticality] = need.look
            if number == 0:
                causes[need.queue, criticality] = need.look
    for (group, criticality), asking in along.items():
        _cut_along(asking, group.cuttable(criticality), criticality, cuts)
    after: dict[str, QueueControl] = {}
    for (queue, criticality), look in cuts.items():
        control = after.get(queue, seen[queue])
        after[queue] = _cut_rate(control, criticality, look, causes.get((queue, criticality)), policy)
    return after


def _asked(
    need: Need, seen: Mapping[str, QueueControl], group: Group, policy: BacklogPolicy
) -> Iterator[tuple[Criticality, bool]]:
    """Which rates a queue asks for: those of a criticality of its own, or those beside it.

    While it shrinks nobody more critical is asked than before: what has piled up needs its time. Where it is grave and
    grows, both kinds of sheddable work are asked at once.
    """
    for criticality in SHEDDING_ORDER:
        least = policy.least_of(criticality, by_length=seen[need.queue].by_length)
        for is_own, has_jobs, is_cuttable in _reserves(need.queue, criticality, least, seen, group):
            if is_cuttable:
                yield criticality, is_own
                if not (need.is_grave and need.grown > 0 and criticality is SHEDDING_ORDER[0]):
                    return
            if has_jobs and need.grown < 0:
                return


def _reserves(
    queue: str, criticality: Criticality, least: int, seen: Mapping[str, QueueControl], group: Group
) -> Iterator[tuple[bool, bool, bool]]:
    """Whether it is the queue's own, whether there are jobs, and whether a rate can be cut: first its own, then beside.

    Critical work of another queue is nobody's reserve.
    """
    has_jobs = group.has_jobs(queue, criticality)
    is_cuttable = has_jobs and seen[queue].rates.get(criticality, ONE) > least
    yield True, has_jobs, is_cuttable
    if not criticality.is_critical:
        beside = len(group.cuttable(criticality)) > is_cuttable
        yield False, len(group.having(criticality)) > has_jobs, beside


def _cut_along(asking: list[Need], cuttable: Collection[str], criticality: Criticality, cuts: dict[_Key, Look]) -> None:
    """Add the cuts that make room for other queues than their own."""
    # Of two one is another queue.
    deepest = sorted(asking, key=lambda need: (-need.look.cut, need.queue))[:2]
    for queue in cuttable:
        look = next((need.look for need in deepest if need.queue != queue), None)
        known = cuts.get((queue, criticality))
        if look is None:
            continue
        if look.cut and not look.drains:
            look = look._replace(cut=max(look.cut, _LEAST_BESIDE))
        if known is None or known.cut < look.cut:
            cuts[queue, criticality] = look


def _cut_rate(
    control: QueueControl, criticality: Criticality, look: Look, cause: Look | None, policy: BacklogPolicy
) -> QueueControl:
    """`cause`: the look at the queue itself, where this is the first rate of it that is cut."""
    before = control.rates.get(criticality, ONE)
    known = control.fits.get(criticality)
    fits = fitting_rate_beside(before, known) if cause is None else fitting_rate(before, known, cause)
    fits = max(policy.least_rates[criticality], fits)
    if criticality is not SHEDDING_ORDER[0]:
        look = look._replace(cut=min(look.cut, _MOST_OF_WHAT_MATTERS))
    rate = cut_rate(before, fits, look)
    least = min(before, policy.least_of(criticality, by_length=control.by_length))
    if rate < max(least, _AS_GOOD_AS_NONE):
        rate = least
    return control._replace(rates={**control.rates, criticality: rate}, fits={**control.fits, criticality: fits})
