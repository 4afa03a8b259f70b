"""What the adaptive control of a process goes by, made from the settings and the file of objectives.

Whoever looks finds another policy only after a reload that was accepted. Decides nothing about a fire.
"""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packages.catalogue.control import control_policy, slow_targets
from packages.catalogue.jobs import JOBS
from packages.catalogue.queues import QUEUES
from packages.scheduling.control.objective import Objective
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.model import Job
from packages.scheduling.policies import GateMode
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.errors import SettingsError

if TYPE_CHECKING:
    from pydantic import SecretStr

log = logging.getLogger(__name__)

# What objectives may be about: beat publishes the first ones, and imports none of them.
TASKS: Final = (*(job.name for job in JOBS), "backtest.run", "paper_trading.run_deployment")


class BeatControl:
    """The setting `beat_control` of the app. `policy` None: nothing is measured, and nothing throttled.

    `prometheus_url`: the server that is asked about external objectives.
    """

    def __init__(self) -> None:
        self.policy: ControlPolicy | None = None
        self.prometheus_url: SecretStr | None = None
        self._jobs: Collection[Job] = ()

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Those that are to be measured."""
        return () if self.policy is None else self.policy.slo.objectives

    def use(self, policy: ControlPolicy | None, settings: BeatSettings, jobs: Collection[Job]) -> None:
        """Go by this from now on. A policy that says what the old one says leaves that one in its place."""
        if policy != self.policy:
            self.policy = policy
        self.prometheus_url = settings.slo_prometheus_url
        self._jobs = jobs

    def warn(self) -> None:
        """Say in the log what is allowed, and may not be meant."""
        if self.policy is None or self.policy.backlog.mode is GateMode.OFF:
            return
        for each in slow_targets(self.policy.backlog, self._jobs):
            target_s, period_s = each.target_ms / SECOND_MS, each.period_ms / SECOND_MS
            extra = {"queue": each.queue, "target_s": target_s, "job": each.job, "period_s": period_s}
            log.warning("backlog_target_above_period", extra=extra)


def policy_in_use(settings: BeatSettings) -> ControlPolicy | None:
    """The thresholds; None if no gate is on that has anything to go by.

    Raises:
        SettingsError: they contradict each other, or the file of objectives cannot be used.
    """
    file = objectives_file(settings)
    policy = control_policy(settings, () if file is None else _objectives_in(file, settings))
    modes = [policy.backlog.mode, policy.target.mode, *([policy.slo.mode] if policy.slo.objectives else [])]
    return None if all(mode is GateMode.OFF for mode in modes) else policy


def objectives_file(settings: BeatSettings) -> Path | None:
    """The file that is read for objectives; None while their gate is off."""
    return None if settings.slo_gate == "off" else settings.slo_objectives_file


def _objectives_in(file: Path, settings: BeatSettings) -> tuple[Objective, ...]:
    # Imported here: beat starts without a parser where there is no such file.
    from packages.infra.objectives import Known, ObjectivesError, read_objectives

    try:
        return read_objectives(file, Known(TASKS, [queue.name for queue in QUEUES]))
    except ObjectivesError as error:
        said = (f"{file.name}: {place}: {problem}" for place, problem in error.problems)
        raise SettingsError(*(settings.problem_with("slo_objectives_file", each) for each in said)) from None
