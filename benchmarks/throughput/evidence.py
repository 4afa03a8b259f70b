"""What has to be true of a run of ours whatever its speed: claims, fires of the ledger and messages are the same."""

import json
from collections.abc import Iterator, Sequence
from typing import cast

import redis

from benchmarks.throughput.arrivals import Arrival
from benchmarks.throughput.run import APP
from benchmarks.throughput.server import Server
from packages.infra.ledger.ledger import LENGTH

_AT_A_TIME = 5_000
_LEDGER = f"{APP}:ledger"
_CLAIMS = f"{APP}:beat:claims:*"


def check(server: Server, arrivals: Sequence[Arrival], *, other_claims: int = 0) -> dict[str, int]:
    """Compare them after beat has ended, and count them. `other_claims`: how many the benchmark itself has put there.

    The ledger has a bounded length: of what was trimmed, once it was longer, only the number is known.

    Raises:
        SystemExit: they are not the same.
    """
    fires = {(a.headers["beat_job"], a.headers["scheduled_for"], a.headers["beat_origin"]) for a in arrivals}
    with server.client() as client:
        claims = sum(int(client.scard(key)) for key in claim_keys(client)) - other_claims
        recorded = [json.loads(text) for text in _decisions(client)]
        about = client.xinfo_stream(_LEDGER) if client.exists(_LEDGER) else {"entries-added": 0, "length": 0}
    added = int(about["entries-added"])
    trimmed = added - int(about["length"]) if added > LENGTH else 0
    in_ledger = sum(decision["verdict"] == "fire" for decision in recorded)
    counts = {
        "messages": len(arrivals),
        "fires": len(fires),
        "task_ids": len({arrival.task_id for arrival in arrivals}),
        "claims": claims,
        "ledger_fires": in_ledger,
        "ledger_trimmed": trimmed,
    }
    is_whole = in_ledger <= len(arrivals) <= in_ledger + trimmed
    if not is_whole or {len(fires), counts["task_ids"], claims} != {len(arrivals)}:
        raise SystemExit(f"Claims, ledger and messages are not the same: {json.dumps(counts)}")
    return counts


def claim_keys(client: redis.Redis) -> list[bytes]:
    """The sets in which the claims are."""
    return list(client.scan_iter(match=_CLAIMS, count=1_000))


def _decisions(client: redis.Redis) -> Iterator[bytes]:
    after = "-"
    while chunk := cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(_LEDGER, min=after, count=_AT_A_TIME)):
        after = f"({chunk[-1][0].decode()}"
        yield from (entry[b"d"] for _, entry in chunk if b"d" in entry)
