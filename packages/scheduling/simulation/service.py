"""How long runs take and which of them fail, with what events do to that."""

from collections.abc import Mapping

from packages.scheduling.simulation.draws import fails, service_ms
from packages.scheduling.simulation.message import Message
from packages.scheduling.simulation.scenario import Failing, JobGroup, Slowed


class DrawnService:
    """`packages.scheduling.simulation.worker.Service` by the groups of the jobs.

    What slows runs is multiplied, and counts for those that begin while it lasts. Of several failure shares of a task
    the last one to come counts.
    """

    def __init__(self, groups: Mapping[str, JobGroup], *, seed: int, scale: float) -> None:
        self._groups = groups
        self._seed = seed
        self._scale = scale
        self.slowed: list[Slowed] = []
        self.failing: list[Failing] = []

    def run(self, message: Message) -> tuple[int, bool]:
        """See `Service`."""
        group = self._groups[message.job]
        length_ms = service_ms(self._seed, message.job, message.nominal, group.service) * self._scale
        for event in self.slowed:
            if event.task in {None, message.task} and event.queue in {None, message.queue}:
                length_ms *= event.factor
        share = next((event.share for event in reversed(self.failing) if event.task == message.task), group.failing)
        return max(1, round(length_ms)), not fails(self._seed, message.job, message.nominal, share)
