"""The scenarios that are shipped: platforms that one can believe in, and one that is run for real."""

from pathlib import Path

import pytest

from packages.scheduling.model import Criticality
from packages.scheduling.simulation.scenario import (
    JobGroup,
    Scenario,
)
from packages.scheduling.simulation.scenario_text import scenario_of
from packages.shared_settings.layers import ROOT

SHIPPED = {path.stem: path for path in sorted((ROOT / "scenarios").glob("*.toml"))}
# It is run by real processes, too, and is no platform.
REAL_RUN = SHIPPED.pop("real_run")


def shipped(path: Path) -> tuple[Scenario, dict[JobGroup, float]]:
    """A scenario, and how many processes each of its groups keeps busy, of those that go on to the end."""
    scenario = scenario_of(path.read_text(encoding="utf-8"), name=path.stem, source=path.name)
    work = {
        group: group.count * group.service.mean_ms / (group.every_ms or scenario.length_ms)
        for group in scenario.groups
        if group.ends_at is None
    }
    return scenario, work


@pytest.mark.parametrize("path", SHIPPED.values(), ids=SHIPPED)
def test_what_is_shipped_is_a_believable_platform(path: Path) -> None:
    scenario, lasting = shipped(path)
    processes = sum(worker.processes for worker in scenario.workers)
    critical = sum(busy for group, busy in lasting.items() if group.criticality.is_critical)
    grown = 10 if path.stem == "tenfold_jobs" else 1
    assert processes == (40 if path.stem == "step" else 8)
    assert 0.55 < sum(lasting.values()) / processes / grown < 0.65
    assert 0.08 < critical / sum(lasting.values()) < 0.13


def test_what_is_run_for_real_is_short_and_small_and_busy() -> None:
    scenario, work = shipped(REAL_RUN)
    assert scenario.length_ms <= 5 * 60_000
    assert sum(worker.processes for worker in scenario.workers) == 4
    # Of four processes; two cannot do it.
    assert 2 < sum(work.values()) < 3
    assert {group.criticality for group in work} == set(Criticality)
    assert not any(group.service.sigma for group in work)
