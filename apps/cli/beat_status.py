"""What the replicas of beat last said of themselves: who leads, when it ticked, its calendars, the jobs put aside."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from packages.infra.queue.broker_redis import open_state_redis
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.instants import to_datetime

if TYPE_CHECKING:
    from packages.infra.beat.beat_status import BeatStatus, Replicas


def read_replicas(app: Celery) -> "Replicas":
    """Who lives and who leads; nobody where beat keeps nothing in a Redis.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached.
    """
    from packages.infra.beat.beat_status import BeatStatusStore, Replicas

    redis = open_state_redis(app)
    if redis is None:
        return Replicas()
    try:
        return BeatStatusStore(redis).read()
    except RedisError as error:
        # As kombu says it of the broker; a bare one would be taken for the result backend's.
        raise OperationalError(str(error)) from error
    finally:
        redis.close()


def replicas_as_json(replicas: "Replicas") -> dict[str, Any] | None:
    """The same for `--json`; null where nobody lives and nobody leads. The first four are those of the leader."""
    if not replicas.living and replicas.holder is None:
        return None
    first = replicas.living[0] if replicas.living else None
    holder = replicas.holder
    return {
        "last_tick": rfc3339(to_datetime(first.last_tick)) if first else None,
        "jobs": first.jobs if first else None,
        "calendar_days_left": dict(first.days_left) if first else {},
        "quarantined": dict(first.quarantined) if first else {},
        "lease": {"replica": holder.replica, "term": holder.term, "ends_in_ms": holder.ends_in_ms} if holder else None,
        "replicas": [
            _replica_as_json(status) | {"holds_lease": _holds_lease(status, replicas)} for status in replicas.living
        ],
    }


def _replica_as_json(status: "BeatStatus") -> dict[str, Any]:
    return {
        "replica": status.replica,
        "standing": status.standing,
        "term": status.term,
        "since": rfc3339(to_datetime(status.since)),
        "last_tick": rfc3339(to_datetime(status.last_tick)),
        "jobs": status.jobs,
        "clock_distance_ms": status.clock_distance_ms,
        "trouble": status.trouble,
        "quarantined": dict(status.quarantined),
        "put_aside": status.put_aside,
        "calendar_days_left": dict(status.days_left),
        "version": status.version,
    }


REPLICA_COLUMNS = ("beat", "stands", "term", "since", "last tick", "jobs", "clock", "note")


def replica_cells(status: "BeatStatus", replicas: "Replicas", *, at: Callable[[int], str]) -> list[object]:
    """A row of the replicas. `at` puts an instant in words."""
    # A dead or frozen leader has said last that it leads.
    is_past = status.standing == "leading" and not _holds_lease(status, replicas)
    stands = f"was {status.standing}" if is_past else status.standing
    distance = status.clock_distance_ms
    clock = None if distance is None else f"{distance:+d} ms"
    term = status.term or None
    note = "" if status.trouble is None else f"broker: {status.trouble}"
    return [status.replica, stands, term, at(status.since), at(status.last_tick), status.jobs, clock, note]


def _holds_lease(status: "BeatStatus", replicas: "Replicas") -> bool:
    return replicas.holder is not None and replicas.holder.replica == status.replica


def lease_in_words(replicas: "Replicas") -> str:
    """One line on the lease."""
    holder = replicas.holder
    if holder is None:
        return "Nobody holds the lease: nothing is published."
    ends_in_s = holder.ends_in_ms / 1_000
    return f"{holder.replica} holds the lease (term {holder.term}; it ends in {ends_in_s:.1f} s unless renewed)."


def fact_rows(status: "BeatStatus") -> list[tuple[str, str]]:
    """The rows of a table of what else whoever leads says."""
    rows = []
    if status.days_left:
        left = ", ".join(f"{market} {days}" for market, days in sorted(status.days_left.items()))
        rows.append(("days left in calendars", left))
    rows += [(f"quarantined {job}", why) for job, why in sorted(status.quarantined.items())]
    more = status.put_aside - len(status.quarantined)
    return rows + ([("quarantined", f"and {more} more")] if more > 0 else [])
