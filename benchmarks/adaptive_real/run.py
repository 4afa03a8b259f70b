"""What the processes of a real run are told through their environment, and where they leave what they saw."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from math import lcm
from pathlib import Path
from typing import Any, Final, NamedTuple

from packages.scheduling.instants import MINUTE_MS, SECOND_MS, to_instant
from packages.scheduling.simulation.scenario import Resized, Scenario
from packages.scheduling.simulation.scenario_text import scenario_of

# As the project's own app, so that every `minsy` command can look at a run.
APP: Final = "minsy"
APP_MODULE: Final = "benchmarks.adaptive_real.app"
# In the database beside the broker's: a list of the runs that began, as JSON.
STARTS: Final = "starts"
SEED: Final = 1
_PREFIX: Final = "REAL_RUN_"
# Nobody waits longer than this for a beginning that suits the grids of the jobs.
_LONGEST_GRID_MS: Final = MINUTE_MS


class RealRun(NamedTuple):
    """`begins`: the instant at which the scenario begins. `starts_url`: the database of the starts."""

    scenario: str
    begins: int
    starts_url: str

    def environment(self) -> dict[str, str]:
        """The variables that say so."""
        return {f"{_PREFIX}{name.upper()}": str(value) for name, value in self._asdict().items()}


class Start(NamedTuple):
    """The start of one run, as its worker saw it. Instants are of the one clock that the processes share."""

    job: str
    nominal: int
    published_at: int
    began_at: int

    @classmethod
    def of(cls, headers: Mapping[str, Any], *, began_at: int) -> "Start":
        """By the headers of beat's message.

        Raises:
            KeyError: it is no message of beat's.
        """
        nominal, published_at = (
            to_instant(datetime.fromisoformat(headers[name])) for name in ("scheduled_for", "beat_published_at")
        )
        return cls(str(headers["beat_job"]), nominal, published_at, began_at)

    def text(self) -> str:
        """As it is kept."""
        return json.dumps(self)

    @classmethod
    def read(cls, text: bytes) -> "Start":
        """As it was kept."""
        return cls(*json.loads(text))


def this_run() -> RealRun:
    """The run of this process.

    Raises:
        KeyError: the process was not started for one.
    """
    given = {name: os.environ[f"{_PREFIX}{name.upper()}"] for name in RealRun._fields}
    return RealRun(given["scenario"], int(given["begins"]), given["starts_url"])


def scenario_in(file: Path, *, begins: int | None = None) -> Scenario:
    """The scenario of a file; at another instant than its own if one is given.

    Raises:
        OSError: the file cannot be read.
        ScenarioError: it says something that is not allowed.
        SystemExit: it has an event that is not brought about on real processes.
    """
    scenario = scenario_of(file.read_text(encoding="utf-8"), name=file.stem, source=file.name)
    for event in scenario.events:
        if not isinstance(event, Resized):
            raise SystemExit(f"{file.name}: an event of the kind {type(event).__name__} is not run for real")
    return scenario if begins is None else replace(scenario, begins=begins)


def next_beginning(scenario: Scenario, after: int) -> int:
    """The first instant from `after` on that stands to the periods of the jobs as the scenario's own beginning does."""
    grid_ms = lcm(*(group.every_ms or 1 for group in scenario.groups))
    return after if grid_ms > _LONGEST_GRID_MS else after + (scenario.begins - after) % grid_ms


def present() -> int:
    """The present instant."""
    return round(time.time() * SECOND_MS)
