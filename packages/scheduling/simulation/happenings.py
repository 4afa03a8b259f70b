"""What befalls the platform of a scenario, at its time, and is undone at its time."""

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

from packages.scheduling.simulation.beat import Beat
from packages.scheduling.simulation.broker import Broker
from packages.scheduling.simulation.job_groups import name_of
from packages.scheduling.simulation.message import Fate, Message
from packages.scheduling.simulation.probe import Probe
from packages.scheduling.simulation.record import Record
from packages.scheduling.simulation.scenario import (
    Backlog,
    Blind,
    Event,
    Failing,
    InFlight,
    Resized,
    Scenario,
    Slowed,
    Stopped,
)
from packages.scheduling.simulation.service import DrawnService
from packages.scheduling.simulation.worker import Worker

if TYPE_CHECKING:
    import simpy

Undo = Callable[[], None]


class Happenings:
    """Does what the events of a scenario say to the parts that it is given."""

    def __init__(  # noqa: PLR0913  # all that anything can happen to
        self,
        env: "simpy.Environment",
        scenario: Scenario,
        *,
        workers: Mapping[str, Worker],
        service: DrawnService,
        broker: Broker,
        beat: Beat,
        probe: Probe,
        record: Record,
    ) -> None:
        self._env = env
        self._scenario = scenario
        self._workers = workers
        self._service = service
        self._broker = broker
        self._beat = beat
        self._probe = probe
        self._record = record

    def main(self, event: Event) -> "Generator[simpy.Event, Any, None]":
        """The process of one event."""
        if event.at:
            yield self._env.timeout(event.at)
        undo = self._begin(event)
        if event.lasts_ms is not None:
            yield self._env.timeout(event.lasts_ms)
            undo()

    def _begin(self, event: Event) -> Undo:
        match event:
            case Resized():
                worker = self._workers[event.worker]
                worker.resize(event.processes)
                return lambda: worker.resize(worker.spec.processes)
            case Stopped():
                return self._stop(self._workers[event.worker])
            case Slowed():
                self._service.slowed.append(event)
                return lambda: self._service.slowed.remove(event)
            case Failing():
                self._service.failing.append(event)
                return lambda: self._service.failing.remove(event)
            case Backlog():
                self._fill(event)
                return lambda: None
            case Blind():
                self._beat.blind += 1
                return self._see_again

    def _see_again(self) -> None:
        self._beat.blind -= 1

    def _stop(self, worker: Worker) -> Undo:
        held = worker.stop()
        self._probe.died(worker, held)
        match worker.spec.in_flight:
            case InFlight.LOST:
                for message in held:
                    message.fate, message.ended_at = Fate.LOST, int(self._env.now)
                    self._beat.ended(message)
                return worker.start
            case InFlight.VISIBILITY:
                self._env.process(self._given_back_later(held))
                return worker.start
            case InFlight.RETURNED:
                return lambda: self._return(worker, held)

    def _return(self, worker: Worker, held: list[Message]) -> None:
        self._give_back(held)
        worker.start()

    def _given_back_later(self, held: list[Message]) -> "Generator[simpy.Event, Any, None]":
        yield self._env.timeout(self._scenario.visibility_ms)
        self._give_back(held)

    def _give_back(self, held: list[Message]) -> None:
        for message in reversed(held):
            message.fate = Fate.WAITING
            self._broker.give_back(message)

    def _fill(self, event: Backlog) -> None:
        group = next(group for group in self._scenario.groups if group.name == event.group)
        now = int(self._env.now)
        for position in range(event.messages):
            published_at = now - event.over_ms + position * event.over_ms // event.messages
            message = Message(
                job=name_of(group, position % group.count + 1),
                task=group.task,
                queue=group.queue,
                criticality=group.criticality,
                priority=self._scenario.priority_of(group.criticality),
                nominal=published_at,
                planned=published_at,
                published_at=published_at,
                expires_at=None if group.expires_ms is None else published_at + group.expires_ms,
                injected=True,
            )
            self._record.messages.append(message)
            self._broker.push(message)
