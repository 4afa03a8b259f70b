"""What jitter and the trading-hours gate change, by preview: `python -m benchmarks.spread` prints two JSON lines.

spread: 1,000 jobs, each every minute; the most publishes in any second of a day, without jitter and with a minute's.
trading_hours: the two jobs of `prod` that follow the market, over a week without a holiday; gate off and enforced, each
with the catalogue's own policies.
"""

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from packages.catalogue.jobs import JOBS
from packages.infra.calendars.load import load_calendars
from packages.scheduling.instants import DAY_MS, MINUTE_MS, SECOND_MS, to_instant
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import Policies
from packages.scheduling.preview import preview
from packages.scheduling.preview_summary import Summary, summary_of
from packages.scheduling.sessions import SessionTable
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.loading import load

FAMILY = 1_000
JITTER_MS = MINUTE_MS
# From this Monday on New York trades five whole days.
WEEK = datetime(2026, 11, 9, tzinfo=UTC)


def peak_of_a_second(jitter_ms: int) -> int:
    """The most publishes in any second of a day of the family."""
    policies = Policies(jitter_ms=jitter_ms)
    jobs = [
        Job(name, name, IntervalTrigger(MINUTE_MS), "default", Criticality.CRITICAL, policies=policies)
        for name in (f"family.job_{number}" for number in range(FAMILY))
    ]
    start = to_instant(WEEK)
    summary = summary_of(preview(jobs, Snapshot(taken_at=start), start=start, end=start + DAY_MS))
    return summary.peak_second.fires if summary.peak_second else 0


def a_week(gate: str, calendars: dict[str, SessionTable]) -> Summary:
    """The two jobs that follow the market, as `prod` has them, with the gate in this mode."""
    settings = load(BeatSettings, {"MINSY_ENV": "prod", "TRADING_HOURS_GATE": gate})
    jobs = [definition.job(settings) for definition in JOBS if definition.policies.in_trading_hours]
    start = to_instant(WEEK)
    snapshot = Snapshot(taken_at=start, markets=calendars)
    return summary_of(preview(jobs, snapshot, start=start, end=start + 7 * DAY_MS))


def main() -> None:
    """Count and print."""
    plain, spread = peak_of_a_second(0), peak_of_a_second(JITTER_MS)
    print(
        json.dumps(
            {
                "benchmark": "spread",
                "jobs": FAMILY,
                "jitter_s": JITTER_MS / SECOND_MS,
                "peak_per_second_without": plain,
                "peak_per_second_with": spread,
                "ratio": round(plain / spread, 1),
            }
        )
    )
    with tempfile.TemporaryDirectory(prefix="minsy-bench-") as name:
        calendars = dict(load_calendars(["XNYS"], Path(name), now=WEEK))
    off, enforced = (a_week(gate, calendars) for gate in ("off", "enforce"))
    print(
        json.dumps(
            {
                "benchmark": "trading_hours",
                "market": "XNYS",
                "jobs": [job.job for job in off.jobs],
                "week_of": f"{WEEK:%Y-%m-%d}",
                "fires_off": off.tally.fires,
                "fires_enforced": enforced.tally.fires,
                "fewer_percent": round(100 * (1 - enforced.tally.fires / off.tally.fires), 1),
            }
        )
    )


if __name__ == "__main__":
    main()
