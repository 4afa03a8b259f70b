"""Whether a fire costs more, the more was fired before (`python -m benchmarks.throughput.claims`).

A burst with 10,000 claims kept, and one with 1,000,000, in turn. What was fired before is put into the very sets of
claims that beat has begun with its warm-up. The cost of a fire is the CPU of beat and of the server together; the rates
of the two are told beside. Fails if claims, ledger and messages differ. No peer keeps claims.
"""

import os
import statistics
from collections.abc import Iterator
from typing import Any, Final

from benchmarks.throughput import evidence
from benchmarks.throughput.arrivals import Watch
from benchmarks.throughput.burst import burst_of
from benchmarks.throughput.contenders import OURS
from benchmarks.throughput.options import options_of
from benchmarks.throughput.production import production_defaults
from benchmarks.throughput.report import tell
from benchmarks.throughput.server import Server, running_server
from benchmarks.throughput.watched import watched

COUNT: Final = 20_000
FEW: Final = 10_000
MANY: Final = 1_000_000
LIMIT_S: Final = 20.0
# The pause before the due moment in which the claims are put there: the same for both.
PREPARES_S: Final = 5.0
AIM: Final = 1.2

_CLAIM_BYTES: Final = 16
_AT_A_TIME: Final = 2_000
# In truth the server has some more of them in each.
_CLAIMS_A_BUCKET: Final = 4


def put_claims(server: Server, number: int) -> None:
    """Put so many claims into the sets that are there, in equal parts, and let the sets settle.

    Raises:
        SystemExit: there are no sets.
    """
    with server.client() as client:
        keys = evidence.claim_keys(client)
        if not keys:
            raise SystemExit("beat has claimed nothing")
        for place, key in enumerate(keys):
            part = number // len(keys) + (place < number % len(keys))
            for claims in _random_claims(part):
                client.sadd(key, *claims)
            # The server moves a set that has outgrown its table bit by bit, with each look into it. A million stands in
            # the middle of that: what is measured is a large set, not the move.
            for claims in _random_claims(part // _CLAIMS_A_BUCKET):
                client.smismember(key, claims)


def _random_claims(number: int) -> Iterator[list[bytes]]:
    """Cut so that no command holds beat up for longer than production ever does."""
    for at in range(0, number, _AT_A_TIME):
        random = os.urandom(min(_AT_A_TIME, number - at) * _CLAIM_BYTES)
        yield [random[start : start + _CLAIM_BYTES] for start in range(0, len(random), _CLAIM_BYTES)]


def with_claims(server: Server, claims: int) -> dict[str, Any]:
    """A burst with so many claims kept: its rate, and the microseconds of CPU of a fire.

    Raises:
        BeatFailedError: see `watched`.
        SystemExit: see `evidence` and `put_claims`.
    """

    def prepare(_: Watch) -> None:
        put_claims(server, claims)

    seen = watched(
        OURS,
        server,
        kind="burst",
        count=COUNT,
        limit_s=LIMIT_S,
        is_over=lambda watch: watch.length > COUNT,
        prepare=prepare,
        prepare_s=PREPARES_S,
    )
    burst = burst_of(seen)
    return {
        "messages_per_s": burst.per_second,
        "cpu_us_a_fire": 1e6 * (seen.cpu_s + seen.server_cpu_s) / burst.sent,
        "server_cpu_us_a_fire": 1e6 * seen.server_cpu_s / burst.sent,
        "checked": evidence.check(server, seen.arrivals, other_claims=claims),
    }


def main() -> None:
    """Measure and print."""
    options = options_of(__doc__, runs=2)
    with running_server() as server:
        runs = [{claims: with_claims(server, claims) for claims in (FEW, MANY)} for _ in range(options.runs)]
    few, many = (_medians([run[claims] for run in runs]) for claims in (FEW, MANY))
    tell(
        "claims",
        "cpu_of_a_fire",
        entries=COUNT,
        claims_kept=[FEW, MANY],
        ratio=many["cpu_us_a_fire"] / few["cpu_us_a_fire"],
        aim=AIM,
        is_met_when="at_most",
        ours={"few": few, "many": many},
        checked=runs[-1][MANY]["checked"],
        defaults=production_defaults(),
    )


def _medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0] if name != "checked"}


if __name__ == "__main__":
    main()
