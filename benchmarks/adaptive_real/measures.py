"""What a run came to, real or simulated, in the same numbers: made of what was seen in the same form."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from packages.scheduling.decision import Decision, Verdict
from packages.scheduling.model import Criticality, Job
from packages.scheduling.simulation.message import Fate
from packages.scheduling.simulation.quantiles import Quantiles, quantiles_of
from packages.scheduling.simulation.record import Outcome
from packages.scheduling.simulation.scenario import Event, Scenario

_BEGUN = frozenset({Fate.RUNNING, Fate.SUCCEEDED, Fate.FAILED})


class Look(NamedTuple):
    """One look at the whole: how many messages waited at the broker, and whether any rate was below 1."""

    at: int
    ready: int
    throttled: bool


@dataclass(slots=True)
class Seen:
    """All that was seen of one run. `delays`: from publish to start, in ms, of each run that began.

    `happened`: the events as they really were: a process ends when it is idle, a little later than it was asked to.
    """

    looks: list[Look] = field(default_factory=list)
    delays: dict[Criticality, list[int]] = field(default_factory=lambda: {each: [] for each in Criticality})
    decisions: Sequence[Decision] = ()
    happened: list[Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Measures:
    """`published`: of the due fires of a criticality, the share that went out; the others were taken up by a later one.

    `throttled_after_ms`: from the scenario's first event to the first rate below 1; None if there was none.
    `whole_after_ms`: from the event's end until all rates were 1 for good; None if they never were.
    """

    peak_backlog: int
    mean_backlog: float
    delays: Mapping[Criticality, Quantiles]
    published: Mapping[Criticality, float]
    throttled_after_ms: int | None
    whole_after_ms: int | None


def measures_of(seen: Seen, scenario: Scenario, jobs: Mapping[str, Job]) -> Measures:
    """Measure what was seen while a scenario lasted."""
    looks = [look for look in seen.looks if scenario.begins <= look.at < scenario.ends]
    throttled_at = [look.at for look in looks if look.throttled]
    first = scenario.events[0]
    ends_at = scenario.begins + first.at + (first.lasts_ms or 0)
    whole_at = [look.at for look in looks if throttled_at and look.at > throttled_at[-1]]
    return Measures(
        peak_backlog=max(look.ready for look in looks),
        mean_backlog=sum(look.ready for look in looks) / len(looks),
        delays={each: found for each, delays in seen.delays.items() if (found := quantiles_of(delays)) is not None},
        published=_published(seen.decisions, jobs),
        throttled_after_ms=throttled_at[0] - scenario.begins - first.at if throttled_at else None,
        whole_after_ms=whole_at[0] - ends_at if whole_at else None,
    )


def seen_in(outcome: Outcome) -> Seen:
    """What there was to see of a simulated run."""
    seen, changes, last = Seen(decisions=outcome.record.decisions), iter(outcome.record.rates), None
    upcoming = next(changes, None)
    for sample in outcome.record.samples:
        while upcoming is not None and upcoming.at <= sample.at:
            last, upcoming = upcoming, next(changes, None)
        seen.looks.append(Look(sample.at, sum(sample.ready), bool(last is not None and last.rates)))
    for message in outcome.record.messages:
        if message.started_at is not None and message.fate in _BEGUN:
            seen.delays[message.criticality].append(message.started_at - message.published_at)
    return seen


def _published(decisions: Sequence[Decision], jobs: Mapping[str, Job]) -> dict[Criticality, float]:
    settled: Counter[tuple[Criticality, Verdict]] = Counter()
    for decision in decisions:
        if decision.is_final:
            settled[jobs[decision.job].criticality, decision.verdict] += decision.count
    shares = {}
    for each in Criticality:
        fired, skipped = settled[each, Verdict.FIRE], settled[each, Verdict.SKIP]
        if fired + skipped:
            shares[each] = fired / (fired + skipped)
    return shares
