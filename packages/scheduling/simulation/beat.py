"""The beat of the laboratory: the very engine of the live one, in simulated time, with readings of simulated probes.

It ticks when the engine wants to be woken, and at least once in a control interval, as the live loop does. The probes
are asked once in a control interval; in between their last readings stand. Publishing takes no time.
"""

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, Final

from packages.scheduling.engine import Engine
from packages.scheduling.instants import NEVER_ENDS
from packages.scheduling.plan import Fire
from packages.scheduling.policies import OverlapMode
from packages.scheduling.simulation.broker import Broker
from packages.scheduling.simulation.each_alone import SHEDDABLE
from packages.scheduling.simulation.message import Message
from packages.scheduling.simulation.probe import Probe, Readings
from packages.scheduling.simulation.record import Rates, Record
from packages.scheduling.simulation.scenario import Scenario
from packages.scheduling.snapshot import Reading, Run, Snapshot

if TYPE_CHECKING:
    import simpy

    from packages.scheduling.control.controllers import Controllers

_NOTHING_KNOWN: Final = Readings({}, {})


class Beat:
    """Publishes to `broker` what `engine` decides. `blind`: the probes say nothing while it is above zero.

    `owed`: how many jobs owed a fire at the last control interval.
    """

    def __init__(  # noqa: PLR0913  # all that it works with
        self,
        env: "simpy.Environment",
        scenario: Scenario,
        *,
        engine: Engine,
        broker: Broker,
        probe: Probe,
        record: Record,
    ) -> None:
        self.blind = 0
        self.owed = 0
        self._env = env
        self._scenario = scenario
        self._engine = engine
        self._broker = broker
        self._probe = probe
        self._record = record
        self._readings = _NOTHING_KNOWN
        self._probed_until: int | None = None
        # Runs of jobs that may not overlap: by job, the messages that are not over.
        self._under_way: dict[str, list[Message]] = {}
        self._noted: Controllers | None = None

    def ended(self, message: Message) -> None:
        """Take a message down that ended: it is no run of its job any more."""
        runs = self._under_way.get(message.job)
        if runs is not None and message in runs:
            runs.remove(message)
            if not runs:
                del self._under_way[message.job]

    def main(self) -> "Generator[simpy.Event, Any, None]":
        """The loop; runs for ever."""
        control = self._scenario.control
        while True:
            now = int(self._env.now)
            snapshot = self._snapshot(now)
            tick = self._engine.tick(snapshot, now)
            self._note_rates(now)
            for failure in tick.failures:
                # A scenario whose jobs raise is no scenario: what it would show is not what it says.
                raise failure.error
            self._record.decisions += tick.decisions
            for fire in tick.fires:
                self._publish(fire, now)
            if tick.more:
                continue
            wake = self._engine.next_wake()
            probes_in_ms = control.interval_end(now) - now
            yield self._env.timeout(max(1, probes_in_ms if wake is None else min(probes_in_ms, wake - now)))

    def _note_rates(self, now: int) -> None:
        controllers = self._engine.controllers
        if controllers is self._noted:
            return
        self._noted = controllers
        self.owed = sum(self._engine.debt.values())
        rates = {
            (queue, criticality): rate
            for queue, control in controllers.queues.items()
            for criticality, rate in (dict.fromkeys(SHEDDABLE, 0) if control.unserved else control.rates).items()
        }
        self._record.rates.append(Rates(now, rates))

    def _snapshot(self, now: int) -> Snapshot:
        if self._probed_until is None or now >= self._probed_until:
            self._probed_until = self._scenario.control.interval_end(now)
            if not self.blind:
                self._readings = self._probe.read(now)
        return Snapshot(
            taken_at=now,
            running=Reading(self._runs(), now),
            queues=self._readings.queues,
            tasks=self._readings.tasks,
        )

    def _runs(self) -> Mapping[str, tuple[Run, ...]]:
        """As the live ones: until it is started a run counts as long as its message may be."""
        return {
            job: tuple(
                Run(
                    f"{job}:{message.nominal}",
                    message.published_at,
                    NEVER_ENDS if message.expires_at is None or message.started_at is not None else message.expires_at,
                )
                for message in messages
            )
            for job, messages in self._under_way.items()
        }

    def _publish(self, fire: Fire, now: int) -> None:
        job, decision = fire.job, fire.decision
        message = Message(
            job=job.name,
            task=job.task,
            queue=job.queue,
            criticality=job.criticality,
            priority=self._scenario.priority_of(job.criticality),
            nominal=decision.nominal,
            planned=decision.planned,
            published_at=now,
            expires_at=None if job.expires_ms is None else now + job.expires_ms,
        )
        self._record.messages.append(message)
        if job.policies.overlap is not OverlapMode.ALLOW:
            self._under_way.setdefault(job.name, []).append(message)
        self._broker.push(message)
