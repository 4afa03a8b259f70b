"""The rates of the queues, once a control interval: CoDel's test says when, AIMD says how far, criticality says who.

    wait above the target ──(for the whole of `standing_ms`)──> overloaded: a look, a cut ──(`again_ms`)──> a look ...
      └─ a burst that drains is above it for less                  │
    wait well below it    <──────────(drains)──────────────────────┘  ──> back to the rate that fitted, then slowly on
    in between: a rate hardly rises, so that the noise of a queue does not become that of its rate

Workers serve several queues, so those that share a worker make room for each other: sheddable work in any of them is
cut before critical work in the overloaded one, and nothing rises while one of them is in need.

Decides nothing about a single fire.
"""

from collections.abc import Collection, Mapping
from typing import Final

from packages.scheduling.control.controllers import QueueControl, WaitBasis
from packages.scheduling.control.groups import Group, Present, groups_of
from packages.scheduling.control.look import look_at
from packages.scheduling.control.policy import SHEDDING_ORDER, BacklogPolicy
from packages.scheduling.control.relief import Need, relieved
from packages.scheduling.control.shares import ONE
from packages.scheduling.control.sight import Sight, sighted
from packages.scheduling.model import Criticality
from packages.scheduling.readings import QueueReading
from packages.scheduling.snapshot import Reading

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
    """The next state of every queue that has jobs. One whose wait is not known keeps its rates for `standing_ms`.

    After that they rise as if nothing waited: who cannot be seen must not be held for ever. Where the rates are not
    obeyed the first cut is all that is known: by how much a queue would still be overloaded after it, nobody can tell.
    """
    sights = {
        queue: sighted(
            _allowed(queues.get(queue, QueueControl()), policy, criticalities),
            readings.get(queue),
            policy,
            policy.target_of(queue),
            now,
            stale_ms=stale_ms,
        )
        for queue, criticalities in present.items()
    }
    unseen = {queue for queue, sight in sights.items() if sight.is_lately}
    seen = {queue: sight.control for queue, sight in sights.items()}
    groups = groups_of(seen, present, policy)
    apart = set(groups.values())
    throttled = {queue for queue, control in seen.items() if control.rates}
    need_room = {group for group in apart if not group.queues.isdisjoint(throttled)}
    needs: list[Need] = []
    for queue, sight in sights.items():
        is_throttled = groups[queue] in need_room
        need = _need(queue, sight, policy, now, is_throttled=is_throttled)
        if need is not None and sight.shrinks:
            # Not to be looked at while it drains; and from what it drains it has not grown.
            longest = max(sight.control.looked_messages or 0, sight.control.messages or 0)
            seen[queue] = sight.control._replace(looked_messages=longest)
        elif need is not None:
            seen[queue] = sight.control._replace(looked_at=now, looked_messages=sight.control.messages)
            if need.look.cut and (is_obeyed or not is_throttled):
                needs.append(need)
    seen.update(relieved(needs, seen, groups, policy))
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


def _allowed(control: QueueControl, policy: BacklogPolicy, present: Collection[Criticality]) -> QueueControl:
    """The same with the rates that the policy of now allows, of the criticalities that have jobs now."""
    if not control.rates and not control.fits:
        return control
    rates, fits = (
        {each: max(share, policy.least_rates[each]) for each, share in shares.items() if each in present}
        for shares in (control.rates, control.fits)
    )
    return control._replace(rates={each: rate for each, rate in rates.items() if rate < ONE}, fits=fits)


def _need(queue: str, sight: Sight, policy: BacklogPolicy, now: int, *, is_throttled: bool) -> Need | None:
    """A look at a queue whose wait has stood for long enough; None if it is not. `is_throttled`: it or its group."""
    control, target_ms = sight.control, policy.target_of(queue)
    if sight.reading is None or control.looked_at is None:
        return None
    grown = (control.messages or 0) - (control.looked_messages or 0)
    is_grave = _is_grave(control, policy, target_ms)
    # A burst is not grave, or shrinks; and whoever is throttled, or shares workers with one that is, has no burst. By
    # length alone nobody knows how soon it will have drained.
    is_plain = is_throttled or (is_grave and grown > 0 and not control.by_length)
    is_new = not is_throttled or (control.since is not None and now - control.since < policy.drained_ms)
    is_deep = is_new or (is_grave and grown >= 0)
    # The longer look is the one with less noise in it.
    is_soon = is_plain and (is_new or is_grave)
    if now - control.looked_at < (policy.again_ms if is_soon else policy.standing_ms):
        return None
    look = look_at(control, sight.reading, policy, target_ms, now, is_deep=is_deep)
    return Need(queue, look, grown, is_grave)


def _is_grave(control: QueueControl, policy: BacklogPolicy, target_ms: int) -> bool:
    if control.basis is WaitBasis.LENGTH:
        return (control.messages or 0) >= policy.grave * policy.target_messages
    return control.wait_ms is None or control.wait_ms >= policy.grave * target_ms


def _tried(group: Group, seen: Mapping[str, QueueControl], policy: BacklogPolicy) -> int:
    """What the rates of a group rise by whose queues are below their targets: the less, the nearer one of them is."""
    increase = policy.increase // _HARDLY
    left = min(ONE - (seen[queue].wait_ms or 0) * ONE // policy.target_of(queue) for queue in group.queues)
    return max(increase // _NEAR, increase * left // ONE)


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
