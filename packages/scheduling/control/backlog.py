"""The rates of the queues, once a control interval: CoDel's test says when, AIMD says how far, criticality says who.

    wait above the target ──(for the whole of `standing_ms`)──> overloaded: a look, a cut ──(`again_ms`)──> a look ...
      └─ a burst that drains is above it for less                  │
    wait well below it    <──────────(drains)──────────────────────┘  ──> back to the rate that fitted, then slowly on
    in between: a rate hardly rises, so that the noise of a queue does not become that of its rate

Workers serve several queues, so those that share a worker make room for each other: sheddable work in any of them is
cut before critical work in the overloaded one, and nothing rises while one of them is in need.

Decides nothing about a single fire.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from packages.scheduling.control.controllers import QueueControl, Unheard
from packages.scheduling.control.groups import Group, Present, groups_of
from packages.scheduling.control.look import Look, cut_rate, fitting_rate, look_at
from packages.scheduling.control.policy import SHEDDING_ORDER, BacklogPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.control.unheard import is_unserved, unheard_of
from packages.scheduling.control.wait import estimated_wait
from packages.scheduling.model import Criticality
from packages.scheduling.readings import QueueReading
from packages.scheduling.snapshot import Reading

# A rate below this share lets through so little that nothing is as good.
_AS_GOOD_AS_NONE: Final = 20_000
# So much slower a rate rises where a queue is below its target, but not calm; and so much slower again near to it.
_HARDLY: Final = 8
_NEAR: Final = 4


def step_queues(  # noqa: PLR0913  # all that is known
    queues: Mapping[str, QueueControl],
    readings: Mapping[str, Reading[QueueReading]],
    policy: BacklogPolicy,
    present: Present,
    now: int,
    *,
    stale_ms: int,
    is_obeyed: bool = True,
) -> dict[str, QueueControl]:
    """The next state of every queue that has jobs. A queue without a fresh reading keeps its rates for `standing_ms`.

    After that they rise as if nothing waited: who cannot be seen must not be held for ever. Where the rates are not
    obeyed the first cut is all that is known: by how much a queue would still be overloaded after it, nobody can tell.
    """
    fresh = {
        queue: readings[queue] for queue in present if queue in readings and readings[queue].age_ms(now) <= stale_ms
    }
    # Not read just now, but lately.
    unseen = {
        queue
        for queue in present
        if queue in readings and queue not in fresh and readings[queue].age_ms(now) <= policy.standing_ms + stale_ms
    }
    seen: dict[str, QueueControl] = {}
    for queue in present:
        before = _clamped(queues.get(queue, QueueControl()), now)
        if queue in fresh:
            seen[queue] = _seen(before, fresh[queue], policy.target_of(queue), policy.standing_ms, now)
        else:
            seen[queue] = _not_seen(before, is_lately=queue in unseen)
    groups = groups_of(seen, present)
    apart = set(groups.values())
    throttled = {queue for queue, control in seen.items() if control.rates}
    need_room = {group for group in apart if not group.queues.isdisjoint(throttled)}
    for queue, group in groups.items():
        if queue in fresh:
            is_throttled = group in need_room
            may_cut = is_obeyed or not is_throttled
            _relieve(queue, seen, fresh[queue].value, policy, group, now, is_throttled=is_throttled, may_cut=may_cut)
    calm = {queue for queue, control in seen.items() if _is_calm(control, policy.calm_ms_of(queue))} - unseen
    well = {queue for queue, control in seen.items() if control.above_since is None} - unseen
    rising = {group for group in apart if group.queues <= calm}
    # Below the target, and never idle: what could be more is tried out, but hardly.
    trying = {group: _tried(group, seen, policy) for group in apart if group.queues <= well}
    after: dict[str, QueueControl] = {}
    for queue, control in seen.items():
        group = groups[queue]
        if group in rising:
            after[queue] = _kept(_risen(control, policy, now), now)
        else:
            after[queue] = _kept(_held(control, trying.get(group, 0)), now)
    return after


def _tried(group: Group, seen: Mapping[str, QueueControl], policy: BacklogPolicy) -> int:
    """What the rates of a group rise by whose queues are below their targets: the less, the nearer one of them is."""
    increase = policy.increase // _HARDLY
    left = min(ONE - (seen[queue].wait_ms or 0) * ONE // policy.target_of(queue) for queue in group.queues)
    return max(increase // _NEAR, increase * left // ONE)


def _clamped(control: QueueControl, now: int) -> QueueControl:
    """The same after the clock was set back: nothing began in what is the future now."""
    unheard = control.unheard or Unheard()
    instants = (
        control.above_since,
        control.looked_at,
        control.calm_since,
        control.since,
        control.unserved_since,
        unheard.taken_at,
    )
    if all(instant is None or instant <= now for instant in instants):
        return control
    above, looked, calm, since, unserved, taken = (None if each is None else min(each, now) for each in instants)
    return control._replace(
        above_since=above,
        looked_at=looked,
        calm_since=calm,
        since=since,
        unserved_since=unserved,
        unheard=control.unheard and unheard._replace(taken_at=taken),
    )


def _not_seen(before: QueueControl, *, is_lately: bool) -> QueueControl:
    """Without a reading nothing is known but what was decided; and that not for ever."""
    control = before._replace(wait_ms=None, basis=None, messages=None)
    if is_lately:
        return control
    return control._replace(above_since=None, looked_at=None, looked_messages=None, unserved_since=None, unheard=None)


def _seen(
    before: QueueControl, reading: Reading[QueueReading], target_ms: int, standing_ms: int, now: int
) -> QueueControl:
    """What the reading says of the queue."""
    wait = estimated_wait(reading.value)
    unheard = unheard_of(before.unheard, reading, now)
    unserved_since = None
    if is_unserved(unheard, standing_ms, now):
        unserved_since = now if before.unserved_since is None else before.unserved_since
    control = before._replace(
        wait_ms=None if wait is None else wait.ms,
        basis=None if wait is None else wait.basis,
        messages=None if wait is None else wait.messages,
        unserved_since=unserved_since,
        group=reading.value.group,
        unheard=unheard,
    )
    if wait is None or control.unserved or (wait.ms is not None and wait.ms <= target_ms):
        return control._replace(above_since=None, looked_at=None, looked_messages=None)
    if before.above_since is None:
        return control._replace(above_since=now, looked_at=now, looked_messages=wait.messages)
    return control


def _relieve(  # noqa: PLR0913, PLR0917  # as above
    queue: str,
    seen: dict[str, QueueControl],
    reading: QueueReading,
    policy: BacklogPolicy,
    group: Group,
    now: int,
    *,
    is_throttled: bool,
    may_cut: bool,
) -> None:
    """Look at a queue whose wait has stood for long enough, and cut what it needs. `is_throttled`: it or its group."""
    control, target_ms = seen[queue], policy.target_of(queue)
    if control.looked_at is None:
        return
    grown = (control.messages or 0) - (control.looked_messages or 0)
    is_grave = control.wait_ms is None or control.wait_ms >= policy.grave * target_ms
    # A burst is not grave, or shrinks; and whoever is throttled, or shares workers with one that is, has no burst.
    is_plain = is_throttled or (is_grave and grown > 0)
    if now - control.looked_at < (policy.again_ms if is_plain else policy.standing_ms):
        return
    is_new = not is_throttled or (control.since is not None and now - control.since < policy.drained_ms)
    is_deep = is_new or (is_grave and grown >= 0)
    look = look_at(control, reading, policy, target_ms, now, is_deep=is_deep)
    if look.cut and may_cut:
        _cut(queue, look, seen, policy, group, grown=grown, is_grave=is_grave)
    seen[queue] = seen[queue]._replace(looked_at=now, looked_messages=control.messages)


def _cut(  # noqa: PLR0913  # as above
    queue: str,
    look: Look,
    seen: dict[str, QueueControl],
    policy: BacklogPolicy,
    group: Group,
    *,
    grown: int,
    is_grave: bool,
) -> None:
    """Cut the least critical rate that is not at its least: of the queue, else of those that share its workers.

    While the queue shrinks nobody more critical is cut than before: what has piled up needs its time. Where it is grave
    and grows, both kinds of sheddable work are cut at once.
    """
    has_cut = False
    for criticality in SHEDDING_ORDER:
        for has_jobs, cuttable in _reserves(queue, criticality, policy.least_rates[criticality], seen, group):
            for each in cuttable:
                is_cause = each == queue and not has_cut
                seen[each] = _cut_rate(seen[each], criticality, look, policy, is_cause=is_cause)
            has_cut |= bool(cuttable)
            if cuttable and not (is_grave and grown > 0 and criticality is SHEDDING_ORDER[0]):
                return
            if has_jobs and grown < 0:
                return


def _reserves(
    queue: str, criticality: Criticality, least: int, seen: Mapping[str, QueueControl], group: Group
) -> Iterator[tuple[bool, list[str]]]:
    """Whether there are jobs of the criticality, and whose rates can be cut: in the queue, then in those beside it."""
    has_jobs = group.has_jobs(queue, criticality)
    yield has_jobs, [queue] if has_jobs and seen[queue].rates.get(criticality, ONE) > least else []
    # Critical work of another queue is nobody's reserve.
    if not criticality.is_critical:
        cuttable = group.cuttable(criticality, least, seen)
        yield len(group.having(criticality)) > has_jobs, [each for each in cuttable if each != queue]


def _cut_rate(
    control: QueueControl, criticality: Criticality, look: Look, policy: BacklogPolicy, *, is_cause: bool
) -> QueueControl:
    least, before = policy.least_rates[criticality], control.rates.get(criticality, ONE)
    known = control.fits.get(criticality)
    if is_cause:
        fits = fitting_rate(before, known, look)
    else:
        # Who is cut along with others, to make room for a while, can take what it took before, or nearly.
        fits = before * (ONE - policy.decrease) // ONE if known is None else known
    fits = max(least, fits)
    rate = cut_rate(before, fits, look)
    if rate < max(least, _AS_GOOD_AS_NONE):
        rate = least
    return control._replace(rates={**control.rates, criticality: rate}, fits={**control.fits, criticality: fits})


def _risen(control: QueueControl, policy: BacklogPolicy, now: int) -> QueueControl:
    """The most critical rate that was cut rises: to what fitted, and on from there. Whole it is no rate any more."""
    calm_since = now if control.calm_since is None else control.calm_since
    # What is calm for long can take more.
    doubled = min((now - calm_since) // policy.standing_ms, policy.most_doubled)
    return _raised(control, policy.increase << doubled, to_what_fits=True)._replace(calm_since=calm_since)


def _held(control: QueueControl, increase: int) -> QueueControl:
    return _raised(control, increase, to_what_fits=False)._replace(calm_since=None)


def _raised(control: QueueControl, increase: int, *, to_what_fits: bool) -> QueueControl:
    criticality = next((each for each in reversed(SHEDDING_ORDER) if each in control.rates), None)
    if criticality is None:
        return control
    fits = control.fits.get(criticality, 0) if to_what_fits else 0
    rate = max(control.rates[criticality] + increase, fits)
    rates = {**control.rates, criticality: rate}
    if rate >= ONE:
        del rates[criticality]
    return control._replace(rates=rates)


def _kept(control: QueueControl, now: int) -> QueueControl:
    fits = {each: rate for each, rate in control.fits.items() if each in control.rates}
    if not control.rates and not control.unserved:
        return control._replace(since=None, calm_since=None, fits=fits)
    return control._replace(since=now if control.since is None else control.since, fits=fits)


def _is_calm(control: QueueControl, calm_ms: int) -> bool:
    return control.above_since is None and (control.wait_ms is None or control.wait_ms <= calm_ms)
