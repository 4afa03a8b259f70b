"""10,000 and 100,000 entries due at one moment: how many messages a second (`python -m benchmarks.throughput.burst`).

The peers run first, on the same server; then ours by the path of the templates and, with a receiver connected to
`before_task_publish`, by Celery's whole path. The peers have no such receiver. Seconds count from the due moment to the
last message, or to the limit for who is not done then. Fails if claims, ledger and messages differ, or if a real worker
cannot execute the oldest messages of each path.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.throughput import evidence
from benchmarks.throughput.beat import BeatFailedError
from benchmarks.throughput.contenders import APSCHEDULER, CELERY_BEAT, OURS, PEERS, Contender
from benchmarks.throughput.options import Options, options_of
from benchmarks.throughput.production import production_defaults
from benchmarks.throughput.report import quantile, tell
from benchmarks.throughput.server import Server, running_server
from benchmarks.throughput.watched import Watched, watched
from benchmarks.throughput.worker_sample import executed

COUNT: Final = 10_000
MANY: Final = 100_000
SAMPLE: Final = 500
LIMIT_S: Final = 20.0
# celery.beat sends about a hundred a second of so many, however long it is watched.
LIMITS_S: Final = {CELERY_BEAT.name: 4.0}
RUNS_OF_PEERS: Final = {APSCHEDULER.name: 2}

TEMPLATE_AIM: Final = 40.0
FULL_AIM: Final = 3.0
# "No worse", with what two runs of the same differ by.
MANY_AIM: Final = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """What became of one burst; lateness in seconds after the due moment."""

    sent: int
    seconds: float
    first_s: float | None
    p50_s: float | None
    p99_s: float | None
    cpu_s: float

    @property
    def per_second(self) -> float:
        """Messages a second."""
        return self.sent / self.seconds

    def figures(self) -> dict[str, object]:
        """For the report."""
        return {
            "messages_per_s": self.per_second,
            "sent": self.sent,
            "seconds": self.seconds,
            "first_message_s": self.first_s,
            "p50_s": self.p50_s,
            "p99_s": self.p99_s,
            "cpu_s": self.cpu_s,
        }


@dataclass(frozen=True, slots=True)
class Several:
    """Some bursts of ours, what `evidence` counted in the last one, and how many of its messages a worker executed."""

    bursts: Sequence[Burst]
    checked: dict[str, int] = field(default_factory=dict)
    executed: int = 0

    @property
    def median(self) -> Burst:
        """The one in the middle by its rate."""
        rate = statistics.median_low([burst.per_second for burst in self.bursts])
        return next(burst for burst in self.bursts if burst.per_second == rate)


def run(contender: Contender, server: Server, *, count: int, has_receiver: bool = False) -> Watched:
    """Let `count` entries be due at once.

    Raises:
        BeatFailedError: see `watched`; or a connected receiver was not told of all messages.
    """
    seen = watched(
        contender,
        server,
        kind="burst",
        count=count,
        has_receiver=has_receiver,
        limit_s=LIMITS_S.get(contender.name, LIMIT_S),
        is_over=lambda watch: watch.length > count,
    )
    if has_receiver and seen.seen <= count:
        raise BeatFailedError(f"the receiver was told of {seen.seen} messages of {count + 1}")
    return seen


def burst_of(seen: Watched) -> Burst:
    """The figures of a run."""
    due_at = seen.run.due_at
    late = [arrival.at - due_at for arrival in seen.in_time()]
    return Burst(
        sent=len(late),
        seconds=max(late) if len(late) == seen.run.count else seen.until - due_at,
        first_s=min(late, default=None),
        p50_s=quantile(late, 0.5),
        p99_s=quantile(late, 0.99),
        cpu_s=seen.cpu_s,
    )


def several(server: Server, options: Options, *, count: int, runs: int, has_receiver: bool = False) -> Several:
    """Bursts of ours, each checked; a worker executes a sample of the last one.

    Raises:
        SystemExit: see `evidence` and `worker_sample`.
    """
    done = Several([])
    for number in range(runs):
        seen = run(OURS, server, count=count, has_receiver=has_receiver)
        checked = evidence.check(server, seen.arrivals)
        is_last = number == runs - 1
        sample = executed(server, seen.run, seen.arrivals, SAMPLE) if is_last and options.with_peers else 0
        done = Several([*done.bursts, burst_of(seen)], checked, sample)
    return done


def main() -> None:
    """Measure and print."""
    options = options_of(__doc__, runs=3)
    with running_server() as server:
        peers = {
            peer.name: Several(
                [burst_of(run(peer, server, count=COUNT)) for _ in range(RUNS_OF_PEERS.get(peer.name, 1))]
            )
            for peer in (PEERS if options.with_peers else ())
        }
        template = several(server, options, count=COUNT, runs=options.runs)
        full = several(server, options, count=COUNT, runs=options.runs, has_receiver=True)
        many = several(server, options, count=MANY, runs=max(1, options.runs - 1))
    fastest = max((peer.median.per_second for peer in peers.values()), default=None)
    for figure, ours, aim in (("template_path", template, TEMPLATE_AIM), ("full_path", full, FULL_AIM)):
        tell(
            "burst",
            figure,
            entries=COUNT,
            ratio=ours.median.per_second / fastest if fastest else None,
            aim=aim,
            is_met_when="at_least",
            ours=ours.median.figures(),
            peers={name: peer.median.figures() for name, peer in peers.items()},
            checked=ours.checked,
            executed_by_a_worker=ours.executed,
            defaults=production_defaults(),
        )
    tell(
        "burst",
        "seconds_a_message_of_many",
        entries=MANY,
        ratio=template.median.per_second / many.median.per_second,
        aim=MANY_AIM,
        is_met_when="at_most",
        ours=many.median.figures(),
        checked=many.checked,
        executed_by_a_worker=many.executed,
        defaults=production_defaults(),
    )


if __name__ == "__main__":
    main()
