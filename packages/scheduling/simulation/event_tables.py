"""The events of a scenario: `[[events]]`, each with `at`, `what`, and what that needs; `for` undoes it after a time."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final

from packages.scheduling.simulation.scenario import (
    Backlog,
    Blind,
    Event,
    Failing,
    JobGroup,
    Resized,
    Slowed,
    Stopped,
)
from packages.scheduling.simulation.toml_tables import Table

MOST_MESSAGES: Final = 1_000_000
_MOST_PROCESSES: Final = 10_000
_MOST_FACTOR: Final = 1_000.0


class What(StrEnum):
    """What an event does: see the class of the same meaning in `scenario`."""

    PROCESSES = "processes"
    STOP = "stop"
    SLOW = "slow"
    FAILURES = "failures"
    BACKLOG = "backlog"
    BLIND = "blind"


def event_of(
    table: Table,
    *,
    workers: Collection[str],
    groups: Mapping[str, JobGroup],
    queues: Collection[str],
    length_ms: int,
) -> Event:
    """One event.

    Raises:
        ScenarioError: a key is not known, is missing, has another type, or names something that is not there.
    """
    at = table.duration_ms("at", least_ms=0)
    if at >= length_ms:
        raise table.refusal("at", "must be before the end of the scenario")
    what = table.one_of("what", What)
    event = _event(table, what, at, workers, groups, queues)
    table.end()
    return event


def _event(  # noqa: PLR0913, PLR0917  # all that can be named
    table: Table,
    what: What,
    at: int,
    workers: Collection[str],
    groups: Mapping[str, JobGroup],
    queues: Collection[str],
) -> Event:
    if what is What.BACKLOG:
        group = table.known("jobs", groups, "group of jobs")
        messages = table.whole("messages", least=1, most=MOST_MESSAGES)
        return Backlog(at, group, messages, table.duration_ms("over", 0, least_ms=0))
    lasts_ms = table.duration_ms("for", None)
    tasks = {group.task for group in groups.values()}
    match what:
        case What.PROCESSES:
            worker = table.known("worker", workers, "worker")
            return Resized(at, worker, table.whole("processes", most=_MOST_PROCESSES), lasts_ms)
        case What.STOP:
            return Stopped(at, table.known("worker", workers, "worker"), lasts_ms)
        case What.SLOW:
            task = table.known("task", tasks, "task") if "task" in table else None
            queue = table.known("queue", queues, "queue") if "queue" in table else None
            if task is not None and queue is not None:
                raise table.refusal("queue", "name a task or a queue, or neither: then everything is slow")
            return Slowed(at, table.number("factor", least=0.01, most=_MOST_FACTOR), task, queue, lasts_ms)
        case What.FAILURES:
            task = table.known("task", tasks, "task")
            return Failing(at, task, table.number("share", most=1.0), lasts_ms)
        case What.BLIND:
            return Blind(at, lasts_ms)
