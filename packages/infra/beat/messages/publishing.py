"""One fire as an entry to publish: the headers that say which fire it is, and its id.

Never sends anything; the scheduler does, by Celery's own way from `apply_entry` to `send_task`.
"""

from datetime import datetime
from typing import Any

from celery.beat import ScheduleEntry

from packages.infra.beat.messages.fire_ids import task_id_of
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.decision import Decision
from packages.scheduling.instants import to_datetime


def stamped(entry: ScheduleEntry, decision: Decision, published_at: datetime, *, term: int = 0) -> ScheduleEntry:
    """A copy of `entry` whose options have the headers and the id of the fire; the entry itself stays as it is.

    An id, and headers by other names, that the entry brings along are kept. `term` is the lease's, 0 without a lease.
    """
    options = dict(entry.options or {})
    options["headers"] = {
        **(options.get("headers") or {}),
        "beat_job": decision.job,
        "beat_origin": decision.origin,
        "scheduled_for": rfc3339(to_datetime(decision.nominal)),
        "planned_for": rfc3339(to_datetime(decision.planned)),
        "beat_published_at": rfc3339(published_at),
        "beat_term": term,
    }
    # Trying again is our own business, and does not hold up the others; a word of the entry on it counts.
    options.setdefault("retry", False)
    if not options.get("task_id"):
        options["task_id"] = task_id_of(decision.job, decision.nominal, decision.origin)
    # Attribute by attribute: an entry's own way to copy itself loses its app, and its schedule's with it.
    copied: Any = object.__new__(type(entry))
    vars(copied).update(vars(entry))
    copied.options = options
    return copied  # type: ignore[no-any-return]  # it is of the entry's own class
