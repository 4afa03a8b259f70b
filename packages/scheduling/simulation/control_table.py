"""The thresholds of the adaptive control in a scenario: the fields of its policies by their names, over the defaults.

`[control]` has the fields of `ControlPolicy` that are numbers, `[control.backlog]`, `[control.slo]` and
`[control.target]` those of the others. Durations end in `_ms`, shares are in millionths: as in the code.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, Final, TypeVar

from packages.scheduling.control.policy import SHEDDING_ORDER, BacklogPolicy, ControlPolicy, SloPolicy, TargetPolicy
from packages.scheduling.instants import DAY_MS
from packages.scheduling.policies import GateMode, PolicyError
from packages.scheduling.simulation.scenario import ScenarioError
from packages.scheduling.simulation.toml_tables import Table

_Policy = TypeVar("_Policy", BacklogPolicy, SloPolicy, TargetPolicy)
_Name = TypeVar("_Name", bound=str)
# No field of a policy is larger in any sense.
_MOST: Final = 7 * DAY_MS
# A scenario has no counts that an objective could be judged by.
_LEFT_OUT: Final = frozenset({"objectives", "burns"})


def control_of(table: Table, queues: Collection[str]) -> ControlPolicy:
    """The policy that a table makes of the default one.

    Raises:
        ScenarioError: a key is not known, has another type, or contradicts another.
    """
    default = ControlPolicy()
    whole = {key: table.whole(key, most=_MOST) for key in ("interval_ms", "stale_ms") if key in table}
    backlog = _part(table.table("backlog", default={}), default.backlog, queues)
    slo = _part(table.table("slo", default={}), default.slo, queues)
    target = _part(table.table("target", default={}), default.target, queues)
    table.end()
    with _refused(table):
        return replace(default, **whole, backlog=backlog, slo=slo, target=target)


def _part(table: Table, default: _Policy, queues: Collection[str]) -> _Policy:
    given: dict[str, Any] = {}
    for each in fields(default):
        key, value = each.name, getattr(default, each.name)
        if key in _LEFT_OUT or key not in table:
            continue
        if isinstance(value, GateMode):
            given[key] = table.one_of(key, GateMode)
        elif isinstance(value, int):
            given[key] = table.whole(key, most=_MOST)
        elif key == "least_rates":
            given[key] = {**value, **_numbers(table.table(key), SHEDDING_ORDER)}
        else:
            given[key] = _numbers(table.table(key), queues)
    table.end()
    with _refused(table):
        return replace(default, **given)


def _numbers(table: Table, names: Collection[_Name]) -> dict[_Name, int]:
    numbers = {name: table.whole(name, most=_MOST) for name in names if name in table}
    table.end()
    return numbers


@contextmanager
def _refused(table: Table) -> Iterator[None]:
    try:
        yield
    except PolicyError as error:
        raise ScenarioError(table.source, table.place, str(error)) from None
