"""What beat counts, and what a scrape makes of it."""

import sys
import threading
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from packages.infra.beat.standing import Standing, Trouble
from packages.infra.telemetry.beat_families import BeatCollector, beat_registry
from packages.infra.telemetry.beat_metrics import MOST_QUEUES, BeatMetrics, ControlFacts, Facts, FireLabels
from packages.infra.telemetry.buckets import Buckets
from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.model import Criticality


def labelled(queue: str = "q", *, verdict: Verdict = Verdict.FIRE, reason: Reason = Reason.ON_TIME) -> FireLabels:
    return verdict, reason, queue, Criticality.CRITICAL


ON_TIME = labelled()
LABELS = {"verdict": "fire", "reason": "on_time", "queue": "q", "criticality": "critical"}


def registry_of(metrics: BeatMetrics, *, now_s: float = 0.0) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(BeatCollector(metrics, lambda: now_s))
    return registry


def value(metrics: BeatMetrics, name: str, labels: dict[str, str] | None = None, *, now_s: float = 0.0) -> float | None:
    return registry_of(metrics, now_s=now_s).get_sample_value(name, labels or {})


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_and_reason_is_a_label(verdict: Verdict, reason: Reason) -> None:
    metrics = BeatMetrics()
    decided = labelled("other one", verdict=verdict, reason=reason)
    metrics.decided({decided: 2})
    metrics.decided(Counter([decided, decided, ON_TIME]))
    labels = {"verdict": verdict.value, "reason": reason.value, "queue": "other one", "criticality": "critical"}
    assert value(metrics, "minsy_beat_fires_total", labels) == 4
    assert value(metrics, "minsy_beat_fires_total", LABELS) == 1


def test_queues_without_end_become_one() -> None:
    metrics = BeatMetrics()
    for number in range(MOST_QUEUES + 50):
        metrics.decided({labelled(f"q{number}"): 1})
    assert len(metrics.fires) == MOST_QUEUES + 1
    assert value(metrics, "minsy_beat_fires_total", LABELS | {"queue": "other"}) == 50
    assert value(metrics, "minsy_beat_fires_total", LABELS | {"queue": "q0"}) == 1


def test_lateness_is_in_seconds_and_cumulative() -> None:
    metrics = BeatMetrics()
    metrics.late([0, 1, 700, 10**9, -3])
    metrics.late([1])

    def up_to(bound: str) -> float | None:
        return value(metrics, "minsy_beat_lateness_seconds_bucket", {"le": bound})

    assert (up_to("0.001"), up_to("0.5"), up_to("1.0"), up_to("+Inf")) == (4, 4, 5, 6)
    assert value(metrics, "minsy_beat_lateness_seconds_count") == 6
    assert value(metrics, "minsy_beat_lateness_seconds_sum") == pytest.approx(1_000_000.699)


def test_a_commit_counts_by_fate_and_size() -> None:
    metrics = BeatMetrics()
    metrics.committed(seconds=0.003, accepted=150, claimed=2, refused=3, failed=1)
    metrics.committed(seconds=0.2, failed=4)
    fates = {fate: value(metrics, "minsy_beat_messages_total", {"fate": fate}) for fate in metrics.messages}
    assert fates == {"accepted": 150, "claimed": 2, "refused": 3, "failed": 5}
    assert value(metrics, "minsy_beat_commit_fires_bucket", {"le": "5.0"}) == 1
    assert value(metrics, "minsy_beat_commit_fires_sum") == 160
    assert value(metrics, "minsy_beat_commit_seconds_bucket", {"le": "0.005"}) == 1
    assert value(metrics, "minsy_beat_commit_seconds_sum") == pytest.approx(0.203)


def test_the_control_is_told_by_queue_criticality_and_objective() -> None:
    metrics = BeatMetrics()
    kind = ("q", Criticality.SHEDDABLE)
    labels = {"queue": "q", "criticality": "sheddable"}
    assert value(metrics, "minsy_beat_rate", labels) is None
    control = ControlFacts(
        rates={kind: 0.25}, waits_s={"q": 1.5}, levels={"fast": 2}, owed={kind: 3}, targets={"t": 0.2}
    )
    metrics.tell(Facts(control=control))
    assert value(metrics, "minsy_beat_rate", labels) == 0.25
    assert value(metrics, "minsy_beat_owed_fires", labels) == 3
    assert value(metrics, "minsy_beat_queue_wait_seconds", {"queue": "q"}) == 1.5
    assert value(metrics, "minsy_beat_slo_level", {"objective": "fast"}) == 2
    assert value(metrics, "minsy_beat_failing_task_rate", {"task": "t"}) == 0.2


def test_where_it_stands_is_one_of_all() -> None:
    metrics = BeatMetrics()
    assert value(metrics, "minsy_beat_standing", {"standing": "leading"}) == 0
    metrics.stands(Standing.FOLLOWING, term=7, trouble=Trouble.FULL)
    shown = {each.value: value(metrics, "minsy_beat_standing", {"standing": each.value}) for each in Standing}
    assert shown == {"leading": 0, "following": 1, "no_broker": 0}
    assert value(metrics, "minsy_beat_term") == 7
    assert value(metrics, "minsy_beat_trouble", {"trouble": "full"}) == 1
    metrics.stands(Standing.LEADING, term=8)
    metrics.troubled(Trouble.FULL)
    assert value(metrics, "minsy_beat_trouble", {"trouble": "full"}) == 0
    assert value(metrics, "minsy_beat_troubles_total", {"trouble": "full"}) == 1
    assert value(metrics, "minsy_beat_troubles_total", {"trouble": "tls"}) == 0


def test_ticks_and_facts() -> None:
    metrics = BeatMetrics()
    assert value(metrics, "minsy_beat_last_tick_age_seconds") is None
    assert value(metrics, "minsy_beat_clock_distance_seconds") is None
    metrics.ticked(10.0, pending=4)
    metrics.ticked(12.0, pending=3)
    metrics.tell(Facts(jobs=7, quarantined=1, clock_distance_ms=-250, days_left={"XNYS": 364}))
    assert value(metrics, "minsy_beat_ticks_total") == 2
    assert value(metrics, "minsy_beat_last_tick_age_seconds", now_s=12.5) == 0.5
    assert value(metrics, "minsy_beat_pending_fires") == 3
    assert value(metrics, "minsy_beat_jobs") == 7
    assert value(metrics, "minsy_beat_quarantined_jobs") == 1
    assert value(metrics, "minsy_beat_clock_distance_seconds") == -0.25
    assert value(metrics, "minsy_beat_calendar_days_left", {"market": "XNYS"}) == 364


def test_a_scrape_is_what_prometheus_reads() -> None:
    metrics = BeatMetrics()
    metrics.decided({ON_TIME: 1})
    metrics.late([3])
    metrics.committed(seconds=0.01, accepted=1)
    metrics.tell(Facts(days_left={"24/7": 5}))
    text = generate_latest(beat_registry(metrics, lambda: 0.0)).decode()
    families = {family.name for family in text_string_to_metric_families(text)}
    assert {"minsy_beat_fires", "minsy_beat_lateness_seconds", "minsy_beat_commit_fires"} <= families
    assert all(name.startswith(("minsy_beat_", "process_")) for name in families)


def test_scrapes_go_along_with_counting() -> None:
    metrics = BeatMetrics()
    registry = registry_of(metrics)
    stop = threading.Event()

    def count() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            metrics.decided({labelled(f"q{number % 200}", reason=list(Reason)[number % 15]): 1})
            metrics.late([number % 10_000])

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=count)
    thread.start()
    try:
        for _ in range(100):
            generate_latest(registry)
    finally:
        sys.setswitchinterval(interval_s)
        stop.set()
        thread.join()
    assert metrics.fires


def test_buckets_count_bounds_as_theirs() -> None:
    buckets = Buckets((1, 2))
    buckets.add([1, 1.5, 2, 2.5])
    buckets.add_one(0)
    assert buckets.cumulative() == ([("1.0", 2.0), ("2.0", 4.0), ("+Inf", 5.0)], 7.0)
