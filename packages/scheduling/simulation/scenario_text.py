"""A scenario out of the text of a TOML file. Strict: what is not known, of another type or contradictory is refused."""

import tomllib
from collections.abc import Collection, Mapping
from typing import Final

from packages.scheduling.model import Criticality
from packages.scheduling.policies import CatchUpMode, OverlapMode, PolicyError
from packages.scheduling.simulation.control_table import control_of
from packages.scheduling.simulation.event_tables import event_of
from packages.scheduling.simulation.job_groups import job_of
from packages.scheduling.simulation.scenario import (
    DEFAULT_BEGINNING,
    DEFAULT_MESSAGE_MS,
    DEFAULT_VISIBILITY_MS,
    SHORTEST_MS,
    InFlight,
    JobGroup,
    QueueOrder,
    Scenario,
    ScenarioError,
    ServiceTime,
    WorkerSpec,
)
from packages.scheduling.simulation.toml_tables import Table
from packages.scheduling.triggers.base import TriggerError

MOST_JOBS: Final = 20_000
MOST_PROCESSES: Final = 10_000
MOST_SIGMA: Final = 3.0
_SLOWEST_MESSAGE_MS: Final = 1_000


def scenario_of(text: str, *, name: str, source: str) -> Scenario:
    """The scenario that a file holds. `source` is what errors call the file.

    Raises:
        ScenarioError: the text is no TOML, or says something that is not allowed.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(source, "", f"is no TOML: {error}") from None
    table = Table(source, "", content)
    length_ms = table.duration_ms("length", least_ms=SHORTEST_MS)
    objectives_ms = _objectives(table.table("queues"))
    groups = tuple(_group(*each, objectives_ms, length_ms) for each in _named(table, "jobs"))
    workers = tuple(_worker(*each, objectives_ms) for each in _named(table, "workers"))
    scenario = Scenario(
        name=name,
        title=table.text("title"),
        length_ms=length_ms,
        objectives_ms=objectives_ms,
        workers=workers,
        groups=groups,
        control=control_of(table.table("control", default={}), objectives_ms),
        events=tuple(
            event_of(
                each,
                workers={worker.name for worker in workers},
                groups={group.name: group for group in groups},
                queues=objectives_ms,
                length_ms=length_ms,
            )
            for each in table.tables("events")
        ),
        begins=table.instant("begins", DEFAULT_BEGINNING),
        message_ms=table.duration_ms("message", DEFAULT_MESSAGE_MS, least_ms=0),
        visibility_ms=table.duration_ms("visibility_timeout", DEFAULT_VISIBILITY_MS),
        message_priorities=table.truth("message_priorities", default=True),
    )
    table.end()
    _check_whole(table, scenario)
    return scenario


def _objectives(table: Table) -> dict[str, int]:
    objectives_ms: dict[str, int] = {}
    for queue in table.keys:
        entry = table.table(queue)
        objectives_ms[queue] = entry.duration_ms("delay_objective")
        entry.end()
    if not objectives_ms:
        raise ScenarioError(table.source, table.place, "must have at least one queue")
    return objectives_ms


def _named(table: Table, key: str) -> list[tuple[str, Table]]:
    inner = table.table(key)
    if not inner.keys:
        raise table.refusal(key, "must have at least one")
    return [(name, inner.table(name)) for name in inner.keys]


def _worker(name: str, table: Table, queues: Collection[str]) -> WorkerSpec:
    served = table.texts("queues")
    if unknown := [queue for queue in served if queue not in queues]:
        raise table.refusal("queues", f"there is no queue {unknown[0]!r}; there is {', '.join(sorted(queues))}")
    worker = WorkerSpec(
        name=name,
        queues=served,
        processes=table.whole("processes", least=1, most=MOST_PROCESSES),
        in_flight=table.one_of("in_flight", InFlight, InFlight.RETURNED),
        order=table.one_of("order", QueueOrder, QueueOrder.ROUND_ROBIN),
    )
    table.end()
    return worker


def _group(name: str, table: Table, queues: Mapping[str, int], length_ms: int) -> JobGroup:
    if ("every" in table) == ("cron" in table):
        raise table.refusal("every", "a group has either every, a duration, or cron, an expression; and not both")
    overlap = table.one_of("overlap", OverlapMode, OverlapMode.ALLOW)
    if overlap is OverlapMode.CANCEL_OTHER:
        raise table.refusal("overlap", "cancel_other is not simulated; allow, skip and buffer_one are")
    group = JobGroup(
        name=name,
        count=table.whole("count", 1, least=1, most=MOST_JOBS),
        task=table.text("task"),
        queue=table.known("queue", queues, "queue"),
        criticality=table.one_of("criticality", Criticality),
        service=_service(table.table("service")),
        every_ms=table.duration_ms("every", None),
        cron=table.text("cron", None),
        jitter_ms=table.duration_ms("jitter", 0),
        spread=table.truth("spread", default=False),
        failing=table.number("failing", 0.0, most=1.0),
        expires_ms=table.duration_ms("expires", None),
        max_staleness_ms=table.duration_ms("max_staleness", None),
        catch_up=table.one_of("catch_up", CatchUpMode, CatchUpMode.LATEST),
        overlap=overlap,
        begins_at=table.duration_ms("from", 0, least_ms=0),
        ends_at=table.duration_ms("until", None),
    )
    table.end()
    if group.spread and group.every_ms is None:
        raise table.refusal("spread", "goes with every, not with cron")
    if group.every_ms is not None and group.jitter_ms >= group.every_ms:
        raise table.refusal("jitter", "must be below every")
    if not group.begins_at < (length_ms if group.ends_at is None else group.ends_at) <= length_ms:
        raise table.refusal("until" if group.ends_at is not None else "from", "a group is active within the scenario")
    return group


def _service(table: Table) -> ServiceTime:
    if "constant" in table:
        service = ServiceTime(table.duration_ms("constant"))
    else:
        service = ServiceTime(table.duration_ms("median"), table.number("sigma", 0.0, most=MOST_SIGMA))
    table.end()
    return service


def _check_whole(table: Table, scenario: Scenario) -> None:
    if scenario.message_ms > _SLOWEST_MESSAGE_MS:
        raise table.refusal("message", f"must be at most {_SLOWEST_MESSAGE_MS}ms")
    if (jobs := sum(group.count for group in scenario.groups)) > MOST_JOBS:
        raise table.refusal("jobs", f"are {jobs:,} together; at most {MOST_JOBS:,} are simulated")
    served = {queue for worker in scenario.workers for queue in worker.queues}
    for group in scenario.groups:
        if group.queue not in served:
            raise table.refusal(f"jobs.{group.name}.queue", f"no worker serves {group.queue!r}")
        try:
            job_of(scenario, group, 1)
        except (TriggerError, PolicyError) as error:
            raise table.refusal(f"jobs.{group.name}", str(error)) from None
