"""Whether the lists that kombu's Redis transport keeps for a queue can hold apart how urgent messages are.

It has one for each of the `priority_steps` in `broker_transport_options`, and a worker takes from them in that order. A
message goes to the list of the last step that is not above its priority; one below all of them to the last list of all.
Where steps would mix what is critical with the rest, or put it last, messages carry no priority and share one list.
"""

import logging
from bisect import bisect
from typing import Any, Final

from celery import Celery

from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.queue.reload import EnvFilesSource
from packages.scheduling.message_priority import PRIORITIES

log = logging.getLogger(__name__)

STEPS: Final = "priority_steps"
_USED: Final = sorted(set(PRIORITIES.values()))


def hold_apart(steps: Any) -> bool:  # noqa: ANN401  # whatever somebody has set
    """Whether the messages of each priority have a list of their own, the urgent ones first."""
    try:
        if list(steps) != sorted(steps):
            return False
        lists = [bisect(steps, priority) - 1 for priority in _USED]
    except TypeError:
        return False
    return lists[0] >= 0 and lists == sorted(set(lists))


class PriorityLists:
    """Of a process that publishes what `source` reads."""

    def __init__(self, source: EnvFilesSource) -> None:
        self._source = source
        self._refused: Any = None

    def look(self, app: Celery) -> None:
        """Take the priorities out of the entries of an app, configured by now, that has no lists for them."""
        options: dict[str, Any] = app.conf.broker_transport_options or {}
        if not self._source.has_priorities or STEPS not in options or hold_apart(options[STEPS]):
            return
        self._refused = options[STEPS]
        self._source.leave_out_priorities()
        for entry in app.conf.beat_schedule.values():
            if isinstance(entry, dict) and isinstance(entry.get("schedule"), JobSchedule):
                entry["options"].pop("priority", None)

    def warn(self) -> None:
        """Say in the log what was found."""
        if self._refused is not None:
            needed = f"steps that hold {', '.join(map(str, _USED))} apart, rising, such as [0, 3, 6, 9]"
            extra = {"setting": f"broker_transport_options.{STEPS}", "found": repr(self._refused), "needed": needed}
            log.warning("message_priorities_off", extra=extra)
