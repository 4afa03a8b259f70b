"""100,000 entries with nothing due, waking once a second (`python -m benchmarks.throughput.idle`).

CPU, set-up with first tick, and memory for each entry (the configured dictionaries with it), of intervals and of
crontabs, beside `celery.beat.Scheduler`. RedBeat and APScheduler are left out: the aims are not about them, and RedBeat
takes minutes to write so many entries.
"""

import time
from dataclasses import dataclass
from typing import Final

from benchmarks.throughput.beat import running_beat
from benchmarks.throughput.contenders import CELERY_IN_MEMORY, OURS, Contender
from benchmarks.throughput.options import options_of
from benchmarks.throughput.report import tell
from benchmarks.throughput.server import Server, running_server

COUNT: Final = 100_000
WAKES_AFTER_S: Final = 1.0
SETTLES_S: Final = 1.0
SECONDS: Final = 5.0
STARTS_WITHIN_S: Final = 180.0

CPU_AIM: Final = 0.01
START_AIM: Final = 1.5
MEMORY_AIM: Final = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """One run. `cpu_share`: of one core."""

    cpu_share: float
    ticks_per_s: float
    set_up_s: float
    first_tick_s: float
    bytes_each: float

    @property
    def start_s(self) -> float:
        """Set-up and first tick."""
        return self.set_up_s + self.first_tick_s

    def figures(self) -> dict[str, object]:
        """For the report."""
        return {
            "cpu_percent": 100 * self.cpu_share,
            "ticks_per_s": self.ticks_per_s,
            "set_up_s": self.set_up_s,
            "first_tick_s": self.first_tick_s,
            "bytes_an_entry": round(self.bytes_each),
        }


def idle(contender: Contender, server: Server, *, is_crontab: bool) -> Idle:
    """Run it."""
    with running_beat(
        contender, server, kind="idle", count=COUNT, is_crontab=is_crontab, longest_wait_s=WAKES_AFTER_S
    ) as beat:
        ready = beat.first_tick(within_s=STARTS_WITHIN_S, is_ours=contender.is_ours)
        time.sleep(SETTLES_S)
        before, began = beat.so_far(), time.monotonic()
        time.sleep(SECONDS)
        after, seconds = beat.so_far(), time.monotonic() - began
    return Idle(
        cpu_share=(after["cpu_s"] - before["cpu_s"]) / seconds,
        ticks_per_s=(after["ticks"] - before["ticks"]) / seconds,
        set_up_s=ready["set_up_s"],
        first_tick_s=ready["first_tick_s"],
        bytes_each=ready["bytes_each"],
    )


def main() -> None:
    """Measure and print."""
    options = options_of(__doc__, runs=1)
    with running_server() as server:
        for is_crontab in (False, True):
            ours = idle(OURS, server, is_crontab=is_crontab)
            peer = idle(CELERY_IN_MEMORY, server, is_crontab=is_crontab) if options.with_peers else None
            for figure, ratio, aim in (
                ("cpu_of_a_core", ours.cpu_share, CPU_AIM),
                ("set_up_and_first_tick", ours.start_s / peer.start_s if peer else None, START_AIM),
                ("memory_an_entry", ours.bytes_each / peer.bytes_each if peer else None, MEMORY_AIM),
            ):
                tell(
                    "idle",
                    figure,
                    entries=COUNT,
                    schedules="crontab" if is_crontab else "interval",
                    ratio=ratio,
                    aim=aim,
                    is_met_when="at_most",
                    ours=ours.figures(),
                    peers={CELERY_IN_MEMORY.name: peer.figures()} if peer else {},
                )


if __name__ == "__main__":
    main()
