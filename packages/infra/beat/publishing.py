"""One fire as a message: the headers that say which fire it is, and an id that is the same whoever publishes it.

Never sends anything; the scheduler does, by Celery's own way from `apply_entry` to `send_task`.
"""

import uuid
from datetime import datetime
from typing import Any, Final

from celery.beat import ScheduleEntry

from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.decision import Decision
from packages.scheduling.instants import to_datetime

# Our own name space for ids that are made from a name (RFC 9562, version 5).
_FIRES: Final = uuid.UUID("5b0b2a5e-7f0d-5d9c-9d43-1f5c3f1d6a77")


def task_id_of(job: str, nominal: int, origin: str) -> str:
    """The id of the message of one fire: made from what identifies the fire, so that a duplicate shows."""
    return str(uuid.uuid5(_FIRES, f"{origin}\n{nominal}\n{job}"))


def stamped(entry: ScheduleEntry, decision: Decision, published_at: datetime) -> ScheduleEntry:
    """A copy of `entry` whose options have the headers and the id of the fire; the entry itself stays as it is.

    An id, and headers by other names, that the entry brings along are kept.
    """
    options = dict(entry.options or {})
    options["headers"] = {
        **(options.get("headers") or {}),
        "beat_job": decision.job,
        "beat_origin": decision.origin,
        "scheduled_for": rfc3339(to_datetime(decision.nominal)),
        "planned_for": rfc3339(to_datetime(decision.planned)),
        "beat_published_at": rfc3339(published_at),
    }
    # Trying again is our own business, and does not hold up the others; a word of the entry on it counts.
    options.setdefault("retry", False)
    options.setdefault("task_id", task_id_of(decision.job, decision.nominal, decision.origin))
    # Attribute by attribute: an entry's own way to copy itself loses its app, and its schedule's with it.
    copied: Any = object.__new__(type(entry))
    vars(copied).update(vars(entry))
    copied.options = options
    return copied  # type: ignore[no-any-return]  # it is of the entry's own class
