"""The service level objectives, out of a TOML file: one table each, `[objectives.NAME]`.

It decides what may stand in such a file, and nothing about what follows from it. All that is wrong is told at once.
"""

import re
import tomllib
from collections.abc import Collection, Mapping
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple

from packages.infra.queue.work_buckets import BOUNDS_MS
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.control.shares import ONE

# Stands in a query for the length of time to look at; what it becomes is said where queries are made.
WINDOW: Final = "$window"

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LONGEST_QUERY: Final = 4_000
_LONGEST_SHOWN: Final = 60
_MOST_LISTED: Final = 20
_ABOUT: Final = ("task", "queue")
_QUERIES: Final = ("bad_query", "total_query")
_OF_ALL: Final = ("measure", "goal", "sheds")
# By measure, in the order in which a person would write them.
_KEYS: Final[Mapping[Measure, tuple[str, ...]]] = {
    Measure.SUCCESS: (*_OF_ALL, *_ABOUT),
    Measure.START_DELAY: (*_OF_ALL, *_ABOUT, "within_seconds"),
    Measure.RUN_TIME: (*_OF_ALL, *_ABOUT, "within_seconds"),
    Measure.EXTERNAL: (*_OF_ALL, *_QUERIES),
}
_EVERY_KEY: Final = (*_OF_ALL, *_ABOUT, "within_seconds", *_QUERIES)

_Table = dict[str, Any]


class ObjectiveProblem(NamedTuple):
    """`place` (table and key) says something that is not allowed; `problem` says what is."""

    place: str
    problem: str


class ObjectivesError(Exception):
    """`file` cannot be used. `problems` has everything that is wrong in it; the text has a line for each."""

    def __init__(self, file: Path, *problems: ObjectiveProblem) -> None:
        self.file = file
        self.problems = problems
        super().__init__("\n".join(f"{file.name}: {place}: {problem}" for place, problem in problems))


class Known(NamedTuple):
    """What an objective may speak of, by name."""

    tasks: Collection[str]
    queues: Collection[str]


def read_objectives(file: Path, known: Known) -> tuple[Objective, ...]:
    """The objectives of a file, in its order.

    Raises:
        ObjectivesError: it cannot be read, or says something that is not allowed.
    """
    try:
        with file.open("rb") as opened:
            # A share such as 0.999 is no binary fraction.
            content = tomllib.load(opened, parse_float=Decimal)
    except OSError as error:
        raise ObjectivesError(file, ObjectiveProblem("the file", f"cannot be read: {error.strerror}")) from error
    except ValueError as error:
        raise ObjectivesError(file, ObjectiveProblem("the file", f"is no TOML: {error}")) from error
    tables = content.pop("objectives", {})
    problems = [ObjectiveProblem(key, "is not known here; allowed: [objectives.NAME]") for key in content]
    if not isinstance(tables, dict):
        problems.append(ObjectiveProblem("objectives", "must be tables, [objectives.NAME]"))
        tables = {}
    objectives: list[Objective] = []
    for name, table in tables.items():
        reader = _Reader(name, known)
        objective = reader.read(table)
        problems += reader.problems
        objectives += [objective] if objective is not None else []
    if problems:
        raise ObjectivesError(file, *problems)
    return tuple(objectives)


class _Reader:
    """Reads one table; whatever is wrong with it is in `problems` then."""

    def __init__(self, name: str, known: Known) -> None:
        self._name = name
        self._known = known
        self.problems: list[ObjectiveProblem] = []

    def read(self, table: object) -> Objective | None:
        """The objective; None if there are problems."""
        if not _NAME.fullmatch(self._name):
            self._refuse("", "the name must be 1 to 64 letters, digits, dots, - and _")
        if not isinstance(table, dict):
            self._refuse("", f"must be a table with {', '.join(_EVERY_KEY)}")
            return None
        measure = self._measure(table)
        self._check_keys(table, measure)
        goal = self._goal(table)
        about = {key: self._name_among(table, key, names) for key, names in self._about().items()}
        within_ms = self._within_ms(table, measure)
        queries = {key: self._query(table, key, measure) for key in _QUERIES}
        sheds = self._sheds(table)
        if measure is None or goal is None or self.problems:
            return None
        return Objective(self._name, measure, goal, **about, within_ms=within_ms, **queries, sheds=sheds)

    def _about(self) -> Mapping[str, Collection[str]]:
        return {"task": self._known.tasks, "queue": self._known.queues}

    def _refuse(self, key: str, problem: str) -> None:
        self.problems.append(ObjectiveProblem(f"[objectives.{self._name}] {key}".rstrip(), problem))

    def _measure(self, table: _Table) -> Measure | None:
        value = table.get("measure")
        if isinstance(value, str) and value in {*Measure}:
            return Measure(value)
        self._refuse("measure", f"must be one of {', '.join(Measure)}{_not(table, 'measure')}")
        return None

    def _check_keys(self, table: _Table, measure: Measure | None) -> None:
        allowed = _EVERY_KEY if measure is None else _KEYS[measure]
        for key in [key for key in table if key not in allowed]:
            where = "" if key not in _EVERY_KEY else f" for the measure {measure}"
            self._refuse(key, f"is not known here{where}{_meant(key, allowed)}; allowed: {', '.join(allowed)}")
        if measure not in {None, Measure.EXTERNAL} and len(table.keys() & set(_ABOUT)) != 1:
            self._refuse("task", "must be there, or queue, and not both")

    def _goal(self, table: _Table) -> int | None:
        value = _number(table.get("goal"))
        goal = 0 if value is None or not value.is_finite() else int(value * ONE)
        if 0 < goal < ONE and Decimal(goal) / ONE == value:
            return goal
        allowed = "a share above 0 and below 1, such as 0.99, with at most six decimals"
        self._refuse("goal", f"must be {allowed}{_not(table, 'goal')}")
        return None

    def _name_among(self, table: _Table, key: str, names: Collection[str]) -> str | None:
        if key not in table:
            return None
        value = table[key]
        if isinstance(value, str) and value in names:
            return value
        self._refuse(key, f"there is no {key} {_shown(value)}{_meant(value, names)}; allowed: {_listed(names)}")
        return None

    def _within_ms(self, table: _Table, measure: Measure | None) -> int | None:
        if "within_seconds" not in table and (measure is None or "within_seconds" not in _KEYS[measure]):
            return None
        value = _number(table.get("within_seconds"))
        for bound_ms in BOUNDS_MS:
            if value is not None and value * 1000 == bound_ms:
                return bound_ms
        allowed = ", ".join(f"{Decimal(bound_ms) / 1000}" for bound_ms in BOUNDS_MS)
        self._refuse(
            "within_seconds", f"must be what workers count by, one of {allowed}{_not(table, 'within_seconds')}"
        )
        return None

    def _query(self, table: _Table, key: str, measure: Measure | None) -> str | None:
        if key not in table and measure is not Measure.EXTERNAL:
            return None
        value = table.get(key)
        if isinstance(value, str) and WINDOW in value and len(value) <= _LONGEST_QUERY:
            return value
        allowed = f"a query with {WINDOW} in it that counts events, of at most {_LONGEST_QUERY} characters"
        self._refuse(key, f"must be {allowed}{_not(table, key)}")
        return None

    def _sheds(self, table: _Table) -> frozenset[str] | None:
        if "sheds" not in table:
            return None
        value = table["sheds"]
        if not isinstance(value, list):
            self._refuse("sheds", f'must be a list of queues, such as ["maintenance"]{_not(table, "sheds")}')
            return None
        names = self._known.queues
        for queue in value:
            if not isinstance(queue, str) or queue not in names:
                self._refuse(
                    "sheds", f"there is no queue {_shown(queue)}{_meant(queue, names)}; allowed: {_listed(names)}"
                )
        return frozenset(queue for queue in value if isinstance(queue, str))


def _number(value: object) -> Decimal | None:
    return Decimal(value) if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else None


def _shown(value: object) -> str:
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _not(table: _Table, key: str) -> str:
    return f", not {_shown(table[key])}" if key in table else "; it is missing"


def _meant(value: object, names: Collection[str]) -> str:
    matches = get_close_matches(value, names, n=1) if isinstance(value, str) else []
    return f" (did you mean {matches[0]}?)" if matches else ""


def _listed(names: Collection[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed if len(listed) <= _MOST_LISTED else [*listed[:_MOST_LISTED], "..."])
