"""What a run of the laboratory comes to, in numbers that can be compared between strategies. Durations are in ms."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.model import Criticality
from packages.scheduling.simulation.due_work import Stretch, distinct_due_work, longest_stretches
from packages.scheduling.simulation.message import Fate, Message
from packages.scheduling.simulation.quantiles import Quantiles, quantiles_of
from packages.scheduling.simulation.record import Outcome
from packages.scheduling.simulation.recovery import Recovery, recoveries_of

_RAN = frozenset({Fate.RUNNING, Fate.SUCCEEDED, Fate.FAILED})
_ENDED = frozenset({Fate.SUCCEEDED, Fate.FAILED, Fate.EXPIRED, Fate.LOST})


@dataclass(frozen=True, slots=True)
class QueueReport:
    """One queue: its backlog in messages, and the start delays of its fires by criticality."""

    objective_ms: int
    peak: int
    mean: float
    start_delay: Mapping[Criticality, Quantiles]


@dataclass(frozen=True, slots=True)
class Report:
    """One strategy. `start_delay` is from publish to start, `lateness` from the planned instant to start.

    Both are of the fires that beat published and that began; `unbegun` counts those that had not, and had not expired,
    at the end. `published` counts fires; `decisions` are by verdict and reason, and a fire that waited has several.
    `shed` counts fires that were passed over for a later one or dropped, by criticality. `expired` messages and `lost`
    ones are of all, injected ones too. `due_work`: see `due_work`. `critical_success`: of the critical fires that ended
    or were shed, the share that succeeded; None without any. `most_owed`: jobs that owed a fire at the same time.
    """

    scenario: str
    strategy: str
    seed: int
    service_scale: float
    jobs: int
    peak_backlog: int
    mean_backlog: float
    queues: Mapping[str, QueueReport]
    start_delay: Mapping[Criticality, Quantiles]
    lateness: Mapping[Criticality, Quantiles]
    published: int
    unbegun: int
    expired: int
    expired_critical: int
    lost: int
    runs: int
    failed: int
    decisions: Mapping[tuple[Verdict, Reason], int]
    shed: Mapping[Criticality, int]
    due_work: int
    critical_success: float | None
    most_owed: int
    longest_stretch: Mapping[Criticality, Stretch]
    recoveries: tuple[Recovery, ...]

    @property
    def has_shed(self) -> bool:
        """Whether any fire was shed."""
        return any(self.shed.values())


def report_of(outcome: Outcome) -> Report:
    """Measure a run."""
    scenario, record = outcome.scenario, outcome.record
    messages = record.messages
    fires = [message for message in messages if not message.injected]
    fates = Counter(message.fate for message in messages)
    shed = _shed(outcome)
    return Report(
        scenario=scenario.name,
        strategy=outcome.strategy,
        seed=outcome.seed,
        service_scale=outcome.service_scale,
        jobs=len(outcome.jobs),
        peak_backlog=outcome.peak,
        mean_backlog=sum(outcome.means.values()),
        queues={
            queue: QueueReport(
                objective_ms=objective_ms,
                peak=outcome.peaks[queue],
                mean=outcome.means[queue],
                start_delay=_delays((fire for fire in fires if fire.queue == queue), lambda fire: fire.published_at),
            )
            for queue, objective_ms in scenario.objectives_ms.items()
        },
        start_delay=_delays(fires, lambda fire: fire.published_at),
        lateness=_delays(fires, lambda fire: fire.planned),
        published=len(fires),
        unbegun=sum(fire.fate is Fate.WAITING for fire in fires),
        expired=fates[Fate.EXPIRED],
        expired_critical=sum(each.criticality.is_critical for each in messages if each.fate is Fate.EXPIRED),
        lost=fates[Fate.LOST],
        runs=fates[Fate.SUCCEEDED] + fates[Fate.FAILED],
        failed=fates[Fate.FAILED],
        decisions=_decisions(outcome),
        shed=shed,
        due_work=distinct_due_work(messages, outcome.jobs),
        critical_success=_critical_success(fires, shed),
        most_owed=max((sample.owed for sample in record.samples), default=0),
        longest_stretch=longest_stretches(messages, outcome.jobs, begins=scenario.begins, ends=scenario.ends),
        recoveries=recoveries_of(outcome),
    )


def differing(one: Outcome, other: Outcome) -> int:
    """On how many fires two strategies decided differently: another final verdict, reason or instant, or none yet."""
    ours, theirs = _settled(one), _settled(other)
    return sum(ours.get(fire) != theirs.get(fire) for fire in ours.keys() | theirs.keys())


def _settled(outcome: Outcome) -> dict[tuple[str, int, str], tuple[Verdict, Reason, int]]:
    return {
        (decision.job, decision.nominal, decision.origin): (decision.verdict, decision.reason, decision.at)
        for decision in outcome.record.decisions
        if decision.is_final
    }


def _delays(fires: Iterable[Message], since: Callable[[Message], int]) -> dict[Criticality, Quantiles]:
    """From `since` to the start of the fires that began, from the most critical on; one without any is left out."""
    delays: dict[Criticality, list[int]] = {each: [] for each in Criticality}
    for fire in fires:
        if fire.started_at is not None and fire.fate in _RAN:
            delays[fire.criticality].append(fire.started_at - since(fire))
    found = {criticality: quantiles_of(numbers) for criticality, numbers in delays.items()}
    return {criticality: quantiles for criticality, quantiles in found.items() if quantiles is not None}


def _decisions(outcome: Outcome) -> dict[tuple[Verdict, Reason], int]:
    counts: Counter[tuple[Verdict, Reason]] = Counter()
    for decision in outcome.record.decisions:
        counts[decision.verdict, decision.reason] += decision.count
    return dict(sorted(counts.items()))


def _shed(outcome: Outcome) -> dict[Criticality, int]:
    counts = dict.fromkeys(Criticality, 0)
    for decision in outcome.record.decisions:
        if decision.verdict is Verdict.SKIP and decision.reason is not Reason.STILL_RUNNING:
            counts[outcome.jobs[decision.job].criticality] += decision.count
    return counts


def _critical_success(fires: Iterable[Message], shed: Mapping[Criticality, int]) -> float | None:
    fates = Counter(fire.fate for fire in fires if fire.criticality.is_critical)
    ended = sum(fates[fate] for fate in _ENDED) + sum(n for each, n in shed.items() if each.is_critical)
    return fates[Fate.SUCCEEDED] / ended if ended else None
