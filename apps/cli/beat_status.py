"""What a running beat last said of itself: when it ticked, how far its calendars reach, which jobs it put aside."""

from typing import TYPE_CHECKING, Any

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from packages.infra.queue.broker_redis import open_broker_redis
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.instants import to_datetime

if TYPE_CHECKING:
    from packages.infra.beat.beat_status import BeatStatus


def read_beat_status(app: Celery) -> "BeatStatus | None":
    """What beat said last; None if it never did, and on a broker that is not Redis.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached.
    """
    from packages.infra.beat.beat_status import BeatStatusStore

    try:
        redis = open_broker_redis(app)
        if redis is None:
            return None
        try:
            return BeatStatusStore(redis).read()
        finally:
            redis.close()
    except RedisError as error:
        # As kombu says it of the broker; a bare one would be taken for the result backend's.
        raise OperationalError(str(error)) from None


def beat_as_json(beat: "BeatStatus | None") -> dict[str, Any] | None:
    """The same for `--json`; null where nothing is known."""
    if beat is None:
        return None
    return {
        "last_tick": rfc3339(to_datetime(beat.last_tick)),
        "jobs": beat.jobs,
        "calendar_days_left": dict(beat.days_left),
        "quarantined": dict(beat.quarantined),
    }


def beat_rows(beat: "BeatStatus", *, ticked: str) -> list[tuple[str, str]]:
    """The rows of a table. `ticked`: when it did last, in words."""
    rows = [("last tick", ticked), ("jobs", str(beat.jobs))]
    if beat.days_left:
        left = ", ".join(f"{market} {days}" for market, days in sorted(beat.days_left.items()))
        rows.append(("days left in calendars", left))
    return rows + [(f"quarantined {job}", why) for job, why in sorted(beat.quarantined.items())]
