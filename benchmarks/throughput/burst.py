"""10,000 and 100,000 entries due at one moment: how many messages a second (`python -m benchmarks.throughput.burst`).

The slow peers run once, on the same server. Then, in turn, so that a slow moment of the machine hits all: the fastest
peer, and ours by the path of the templates, by Celery's whole path (with a receiver connected to `before_task_publish`;
the peers have no such receiver), and with many entries. Ratios are those of the medians. Seconds count
from the due moment to the last message, or to the limit for who is not done then. Fails if claims, ledger and messages
differ, or if a real worker cannot execute the oldest messages of each kind.
"""

import statistics
from dataclasses import dataclass, field
from typing import Final

from benchmarks.throughput import evidence
from benchmarks.throughput.beat import BeatFailedError
from benchmarks.throughput.contenders import APSCHEDULER, CELERY_BEAT, OURS, REDBEAT, Contender
from benchmarks.throughput.options import options_of
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


@dataclass(slots=True)
class Several:
    """Some bursts, what `evidence` counted in the last one, and how many of its messages a worker executed."""

    bursts: list[Burst] = field(default_factory=list)
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


def checked_run(server: Server, done: Several, *, count: int, has_receiver: bool = False, samples: bool) -> None:
    """One more burst of ours, checked; a worker executes a sample of it if it `samples`.

    Raises:
        SystemExit: see `evidence` and `worker_sample`.
    """
    seen = run(OURS, server, count=count, has_receiver=has_receiver)
    done.checked = evidence.check(server, seen.arrivals)
    done.executed = executed(server, seen.run, seen.arrivals, SAMPLE) if samples else 0
    done.bursts.append(burst_of(seen))


def main() -> None:
    """Measure and print."""
    options = options_of(__doc__, runs=5)
    peers: dict[str, Several] = {}
    template, full, many = Several(), Several(), Several()
    with running_server() as server:
        if options.with_peers:
            peers = {peer.name: Several([burst_of(run(peer, server, count=COUNT))]) for peer in (CELERY_BEAT, REDBEAT)}
            peers[APSCHEDULER.name] = Several()
        for number in range(options.runs):
            if options.with_peers:
                peers[APSCHEDULER.name].bursts.append(burst_of(run(APSCHEDULER, server, count=COUNT)))
            samples = options.with_peers and number == options.runs - 1
            checked_run(server, template, count=COUNT, samples=samples)
            checked_run(server, full, count=COUNT, has_receiver=True, samples=samples)
            checked_run(server, many, count=MANY, samples=samples)
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
            all_messages_per_s=[round(burst.per_second) for burst in ours.bursts],
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
        all_messages_per_s=[round(burst.per_second) for burst in many.bursts],
        checked=many.checked,
        executed_by_a_worker=many.executed,
        defaults=production_defaults(),
    )


if __name__ == "__main__":
    main()
