"""Is the market open: a compiled calendar beside `exchange_calendars`, in one run. `python -m benchmarks.calendars`.

Both are asked about the same instants, spread over some years, each in the form that it takes: an integer here, a
timestamp there, made before the clock runs. Their answers are compared first. Prints one JSON line.
"""

import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packages.infra.calendars.load import load_calendars
from packages.scheduling.instants import MINUTE_MS, to_datetime, to_instant

MARKET = "XNYS"
START = datetime(2024, 1, 1, tzinfo=UTC)
END = datetime(2026, 6, 1, tzinfo=UTC)
# A prime number of minutes, so that each minute of the day comes up.
STEP_MS = 211 * MINUTE_MS
ROUNDS = 7
REPEAT_OURS = 20


def seconds_each(ask: Callable[[Any], bool], instants: Sequence[Any]) -> float:
    """Seconds for one call."""
    began = time.perf_counter()
    for instant in instants:
        ask(instant)
    return (time.perf_counter() - began) / len(instants)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="minsy-bench-") as directory:
        table = load_calendars([MARKET], Path(directory), now=datetime.now(UTC))[MARKET]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import exchange_calendars
        import pandas as pd

        calendar = exchange_calendars.get_calendar(MARKET, start="2000-01-01")
        instants = list(range(to_instant(START), to_instant(END), STEP_MS))
        stamps = [pd.Timestamp(to_datetime(instant)) for instant in instants]
        if [table.is_open(i) for i in instants] != [calendar.is_open_on_minute(s) for s in stamps]:
            raise SystemExit("the two calendars disagree")
        pairs = [
            (seconds_each(table.is_open, instants * REPEAT_OURS), seconds_each(calendar.is_open_on_minute, stamps))
            for _ in range(ROUNDS + 1)
        ][1:]  # the first round warms the caches
    print(
        json.dumps(
            {
                "benchmark": "calendars",
                "instants": len(instants),
                "ours_us": round(statistics.median(pair[0] for pair in pairs) * 1e6, 3),
                "exchange_calendars_us": round(statistics.median(pair[1] for pair in pairs) * 1e6, 3),
                "ratio": round(statistics.median(pair[1] / pair[0] for pair in pairs), 1),
            }
        )
    )


if __name__ == "__main__":
    main()
