"""Beat's numbers as families of Prometheus metrics, made each time that somebody asks for them.

Imported by the thread that serves them, and by nothing that beat needs to start. The labels are words of enumerations,
the queues of known jobs, objectives and tasks that fail (bounded in number), and the markets of the calendars in use.
"""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from packages.infra.beat.standing import Standing, Trouble
from packages.infra.telemetry.beat_metrics import BeatMetrics
from packages.infra.telemetry.buckets import Buckets

_MS_PER_S: Final = 1000.0


class BeatCollector(Collector):
    """The metrics of one beat. `monotonic_s` is the clock of its ticks."""

    def __init__(self, metrics: BeatMetrics, monotonic_s: Callable[[], float]) -> None:
        self._metrics = metrics
        self._monotonic_s = monotonic_s

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        yield from self._fires()
        yield from self._commits()
        yield from self._replica()
        yield from self._facts()
        yield from self._control()

    def _fires(self) -> Iterator[Metric]:
        metrics = self._metrics
        fires = CounterMetricFamily(
            "minsy_beat_fires",
            "Nominal fires by what was decided; one that waits counts at each decision.",
            labels=["verdict", "reason", "queue", "criticality"],
        )
        # Copied in one step of the interpreter: the loop goes on meanwhile.
        for labels, count in list(metrics.fires.items()):
            fires.add_metric([str(label) for label in labels], count)
        yield fires
        yield _histogram("minsy_beat_lateness_seconds", "Publishing minus planned.", metrics.lateness, _MS_PER_S)
        yield GaugeMetricFamily(
            "minsy_beat_pending_fires", "Fires that wait: deferred, or not published yet.", value=metrics.pending
        )

    def _commits(self) -> Iterator[Metric]:
        metrics = self._metrics
        messages = CounterMetricFamily("minsy_beat_messages", "Fires by what became of their message.", labels=["fate"])
        for fate, count in metrics.messages.items():
            messages.add_metric([fate], count)
        yield messages
        troubles = CounterMetricFamily(
            "minsy_beat_troubles", "Commits that failed, by what was wrong with the broker.", labels=["trouble"]
        )
        for trouble, count in metrics.troubles.items():
            troubles.add_metric([trouble.value], count)
        yield troubles
        yield _histogram("minsy_beat_commit_seconds", "How long a commit took.", metrics.commit_time, _MS_PER_S)
        yield _histogram("minsy_beat_commit_fires", "How many fires a commit had.", metrics.batch_size, 1)

    def _replica(self) -> Iterator[Metric]:
        metrics = self._metrics
        standings = GaugeMetricFamily("minsy_beat_standing", "1 for where this replica stands.", labels=["standing"])
        for standing in Standing:
            standings.add_metric([standing.value], standing is metrics.standing)
        yield standings
        yield GaugeMetricFamily(
            "minsy_beat_term", "The number of its own lease, or of its last one; 0 for none.", value=metrics.term
        )
        troubled = GaugeMetricFamily("minsy_beat_trouble", "1 for what the broker lacks now.", labels=["trouble"])
        for trouble in Trouble:
            troubled.add_metric([trouble.value], trouble is metrics.trouble)
        yield troubled
        yield CounterMetricFamily("minsy_beat_ticks", "Wake-ups.", value=metrics.ticks)
        if (ticked_at_s := metrics.ticked_at_s) is not None:
            age_s = max(0.0, self._monotonic_s() - ticked_at_s)
            yield GaugeMetricFamily("minsy_beat_last_tick_age_seconds", "How long ago the last one was.", value=age_s)

    def _facts(self) -> Iterator[Metric]:
        facts = self._metrics.facts
        yield GaugeMetricFamily("minsy_beat_jobs", "Jobs in the schedule.", value=facts.jobs)
        yield GaugeMetricFamily("minsy_beat_quarantined_jobs", "Jobs that were put aside.", value=facts.quarantined)
        if facts.clock_distance_ms is not None:
            yield GaugeMetricFamily(
                "minsy_beat_clock_distance_seconds",
                "This machine's clock minus the broker's.",
                value=facts.clock_distance_ms / _MS_PER_S,
            )
        days = GaugeMetricFamily("minsy_beat_calendar_days_left", "Whole days that are known.", labels=["market"])
        for market, left in facts.days_left.items():
            days.add_metric([market], left)
        yield days

    def _control(self) -> Iterator[Metric]:
        control = self._metrics.facts.control
        kind = ["queue", "criticality"]
        rates = GaugeMetricFamily("minsy_beat_rate", "The share of the fires that is let through.", labels=kind)
        for (queue, criticality), rate in control.rates.items():
            rates.add_metric([queue, criticality.value], rate)
        yield rates
        owed = GaugeMetricFamily("minsy_beat_owed_fires", "Jobs that owe a fire: a throttle holds it.", labels=kind)
        for (queue, criticality), count in control.owed.items():
            owed.add_metric([queue, criticality.value], count)
        yield owed
        waits = GaugeMetricFamily("minsy_beat_queue_wait_seconds", "How long a message waits.", labels=["queue"])
        for queue, wait_s in control.waits_s.items():
            waits.add_metric([queue], wait_s)
        yield waits
        levels = GaugeMetricFamily(
            "minsy_beat_slo_level", "How badly an objective burns, from 0 to 3.", labels=["objective"]
        )
        for objective, level in control.levels.items():
            levels.add_metric([objective], level)
        yield levels
        targets = GaugeMetricFamily(
            "minsy_beat_failing_task_rate",
            "The share of the fires of a task that fails that is let through, or would be while its gate observes.",
            labels=["task"],
        )
        for task, rate in control.targets.items():
            targets.add_metric([task], rate)
        yield targets


def beat_registry(metrics: BeatMetrics, monotonic_s: Callable[[], float]) -> CollectorRegistry:
    """Beat's metrics, and those of its process."""
    registry = CollectorRegistry()
    registry.register(BeatCollector(metrics, monotonic_s))
    ProcessCollector(registry=registry)
    return registry


def _histogram(name: str, words: str, buckets: Buckets, per_unit: float) -> HistogramMetricFamily:
    cumulative, total = buckets.cumulative(per_unit=per_unit)
    return HistogramMetricFamily(name, words, buckets=cumulative, sum_value=total)
