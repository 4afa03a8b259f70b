"""A steady load of 10,000, 1,000 and 10 fires a second (`python -m benchmarks.throughput.steady`).

Entries with a period of a second, spread evenly over it. The lateness is that of the k-th message of an entry against
its k-th due moment; a fire that is owed when the time is over counts as late as it is then. Fails if claims, ledger and
messages of ours differ.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.throughput import evidence
from benchmarks.throughput.arrivals import Arrival
from benchmarks.throughput.contenders import CELERY_BEAT, OURS, PEERS, Contender
from benchmarks.throughput.options import Options, options_of
from benchmarks.throughput.production import production_defaults
from benchmarks.throughput.report import quantile, tell
from benchmarks.throughput.server import Server, running_server
from benchmarks.throughput.watched import watched

PERIOD_S: Final = 1.0
# Who does not hold the load is late by whole seconds; this is how much of it has to come.
LEAST_SHARE: Final = 0.95

FAST: Final = 10_000
MIDDLE: Final = 1_000
SLOW: Final = 10
SECONDS: Final = {FAST: 8.0, MIDDLE: 6.0, SLOW: 10.0}
LATENESS_AIM_S: Final = 0.05
MIDDLE_AIM: Final = 1 / 3
SLOW_AIM: Final = 1 / 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """One run. `cpu_share`: of one core. Lateness in seconds."""

    per_second: float
    cpu_share: float
    p50_s: float | None
    p99_s: float | None
    max_s: float | None
    is_held: bool
    checked: dict[str, int]

    def figures(self) -> dict[str, object]:
        """For the report."""
        return {
            "fires_per_s": self.per_second,
            "cpu_percent": 100 * self.cpu_share,
            "p50_s": self.p50_s,
            "p99_s": self.p99_s,
            "max_s": self.max_s,
            "held": self.is_held,
        }


def steady(contender: Contender, server: Server, *, rate: int) -> Steady:
    """Run it.

    Raises:
        BeatFailedError: see `watched`.
        SystemExit: see `evidence`.
    """
    seconds, count = SECONDS[rate], int(rate * PERIOD_S)
    seen = watched(contender, server, kind="spread", count=count, period_s=PERIOD_S, limit_s=seconds)
    in_time = seen.in_time()
    late = list(lateness_s(in_time, count=count, due_at=seen.run.due_at, until=seen.until))
    per_second, p99_s = len(in_time) / seconds, quantile(late, 0.99)
    return Steady(
        per_second=per_second,
        cpu_share=seen.cpu_s / seen.seconds,
        p50_s=quantile(late, 0.5),
        p99_s=p99_s,
        max_s=max(late, default=None),
        is_held=p99_s is not None and p99_s < PERIOD_S and per_second >= LEAST_SHARE * rate,
        checked=evidence.check(server, seen.arrivals) if contender.is_ours else {},
    )


def lateness_s(arrivals: Sequence[Arrival], *, count: int, due_at: float, until: float) -> Iterator[float]:
    """How late each fire of `count` entries was, or is when the time is over."""
    came = defaultdict(list)
    for arrival in arrivals:
        came[arrival.number].append(arrival.at)
    for number in range(count):
        first = due_at + PERIOD_S * number / count
        for fire, at in enumerate(came[number]):
            yield at - first - fire * PERIOD_S
        owed = int((until - first) / PERIOD_S) + 1
        for fire in range(len(came[number]), owed):
            yield until - first - fire * PERIOD_S


def fast(server: Server, _: Options) -> None:
    """10,000 a second: the lateness. No peer comes near."""
    ours = steady(OURS, server, rate=FAST)
    tell(
        "steady",
        "p99_lateness_s",
        fires_per_s=FAST,
        ratio=ours.p99_s if ours.is_held else None,
        aim=LATENESS_AIM_S,
        is_met_when="at_most",
        ours=ours.figures(),
        checked=ours.checked,
        defaults=production_defaults(),
    )


def middle(server: Server, options: Options) -> None:
    """1,000 a second: CPU beside the peer that does the most of it."""
    ours = steady(OURS, server, rate=MIDDLE)
    contenders = PEERS if options.with_peers else ()
    peers = {peer.name: steady(peer, server, rate=MIDDLE) for peer in contenders}
    best = max(peers, key=lambda name: peers[name].per_second, default=None)
    tell(
        "steady",
        "cpu_of_the_best_peer",
        fires_per_s=MIDDLE,
        best_peer=best,
        ratio=ours.cpu_share / peers[best].cpu_share if best and ours.is_held else None,
        aim=MIDDLE_AIM,
        is_met_when="at_most",
        ours=ours.figures(),
        peers={name: peer.figures() for name, peer in peers.items()},
        checked=ours.checked,
    )


def slow(server: Server, options: Options) -> None:
    """10 a second: CPU beside celery.beat, which spins before each fire."""
    ours = steady(OURS, server, rate=SLOW)
    peer = steady(CELERY_BEAT, server, rate=SLOW) if options.with_peers else None
    tell(
        "steady",
        "cpu_of_celery_beat",
        fires_per_s=SLOW,
        ratio=ours.cpu_share / peer.cpu_share if peer and ours.is_held else None,
        aim=SLOW_AIM,
        is_met_when="at_most",
        ours=ours.figures(),
        peers={CELERY_BEAT.name: peer.figures()} if peer else {},
        checked=ours.checked,
    )


def main() -> None:
    """Measure and print."""
    options = options_of(__doc__, runs=1)
    with running_server() as server:
        for measure in (fast, middle, slow):
            measure(server, options)


if __name__ == "__main__":
    main()
