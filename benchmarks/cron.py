"""A year of nominals of five typical crons, beside cronsim; and one next fire, beside Celery's crontab.

`python -m benchmarks.cron` prints one JSON line. All is in America/New_York, changes of the clocks included. Ours are
arrays of integer milliseconds, cronsim's are datetimes: what the engine works with, and what is to be had elsewhere.
Our tables of days and of the zone are built before, as they are in a running beat; `ours_first_ms` is the first run,
with reading the text, these tables and, once, the imports that they need.
"""

import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from celery import Celery
from celery.schedules import crontab
from cronsim import CronSim

from packages.scheduling.instants import DAY_MS, HOUR_MS, to_instant
from packages.scheduling.triggers.cron import CronTrigger
from packages.scheduling.triggers.cron_parse import parse_cron

ZONE = "America/New_York"
START = datetime(2026, 1, 1, tzinfo=ZoneInfo(ZONE))
END = datetime(2027, 1, 1, tzinfo=ZoneInfo(ZONE))
EXPRESSIONS = ("* * * * *", "*/5 9-16 * * 1-5", "0 * * * *", "30 3 * * *", "0 6 1 * *")
RUNS = 5
# So many single questions are timed at once, an hour apart from each other.
QUESTIONS = 2_000


def median_s(work: Callable[[], object], runs: int = RUNS) -> float:
    """Seconds that the work takes, by the median of some runs."""
    spent = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def count_ours(trigger: CronTrigger) -> int:
    """How many nominals a year has."""
    return sum(len(array) for array in trigger.between(to_instant(START) - 1, to_instant(END) - 1))


def count_cronsim(expression: str) -> int:
    """As `count_ours`."""
    count, first = 0, START - timedelta(minutes=1)
    for at in CronSim(expression, first):
        if at >= END:
            break
        count += 1
    return count


def celery_crontab(expression: str) -> Callable[[datetime], timedelta]:
    """Celery's own question for the time that is left until the next fire."""
    app = Celery("benchmark", set_as_current=False)
    app.conf.update(timezone=ZONE, enable_utc=True)
    minute, hour, day_of_month, month, day_of_week = expression.split()
    schedule = crontab(minute, hour, day_of_week, day_of_month, month, app=app, nowfun=lambda: START)
    remaining: Callable[[datetime], timedelta] = schedule.remaining_estimate
    return remaining


def of_a_year(expression: str) -> dict[str, float]:
    """All nominals of a year, ours and cronsim's."""
    began = time.perf_counter()
    trigger = parse_cron(expression, zone=ZONE)
    fires = count_ours(trigger)
    first_s = time.perf_counter() - began
    if count_cronsim(expression) != fires:
        raise SystemExit(f"{expression}: cronsim names another number of fires than our {fires}")
    ours_s = median_s(lambda: count_ours(trigger), 50)
    cronsim_s = median_s(lambda: count_cronsim(expression))
    return {
        "fires": fires,
        "ours_first_ms": round(first_s * 1e3, 3),
        "ours_ms": round(ours_s * 1e3, 3),
        "cronsim_ms": round(cronsim_s * 1e3, 3),
        "ratio": round(cronsim_s / ours_s, 1),
    }


def of_one_fire(expression: str) -> dict[str, float]:
    """One question for the next fire, ours and Celery's, and the fires of a day."""
    trigger, remaining = parse_cron(expression, zone=ZONE), celery_crontab(expression)
    instants = [to_instant(START) + n * HOUR_MS for n in range(QUESTIONS)]
    moments = [(START.astimezone(UTC) + timedelta(hours=n)).astimezone(START.tzinfo) for n in range(QUESTIONS)]
    ours_s = median_s(lambda: [trigger.next_after(at) for at in instants]) / QUESTIONS
    celery_s = median_s(lambda: [remaining(at) for at in moments]) / QUESTIONS
    day_s = median_s(lambda: [list(trigger.between(at, at + DAY_MS)) for at in instants]) / QUESTIONS
    return {
        "ours_us": round(ours_s * 1e6, 2),
        "celery_us": round(celery_s * 1e6, 2),
        "ratio": round(celery_s / ours_s, 1),
        "ours_day_us": round(day_s * 1e6, 2),
    }


def main() -> None:
    """Measure and print."""
    print(
        json.dumps(
            {
                "benchmark": "cron",
                "zone": ZONE,
                "year_beside_cronsim": {expression: of_a_year(expression) for expression in EXPRESSIONS},
                "next_fire_beside_celery": {expression: of_one_fire(expression) for expression in EXPRESSIONS},
            }
        )
    )


if __name__ == "__main__":
    main()
