"""One scenario under one strategy, from its beginning to its end, in simulated time."""

from typing import TYPE_CHECKING, Any

from packages.scheduling.engine import Engine
from packages.scheduling.simulation.beat import Beat
from packages.scheduling.simulation.broker import Broker
from packages.scheduling.simulation.happenings import Happenings
from packages.scheduling.simulation.job_groups import jobs_of
from packages.scheduling.simulation.message import Message
from packages.scheduling.simulation.probe import Probe
from packages.scheduling.simulation.record import SAMPLED_EVERY_MS, Outcome, Record, Sample
from packages.scheduling.simulation.scenario import Scenario, WorkerSpec
from packages.scheduling.simulation.service import DrawnService
from packages.scheduling.simulation.strategies import Strategy, use
from packages.scheduling.simulation.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy


class Laboratory:
    """Everything of one run. `run` is called once."""

    def __init__(self, scenario: Scenario, strategy: Strategy, *, seed: int, service_scale: float) -> None:
        # Imported here: nothing but the laboratory needs it.
        import simpy

        self._scenario = scenario
        self._strategy = strategy
        self._seed = seed
        self._service_scale = service_scale
        jobs = jobs_of(scenario)
        self._jobs = {job.name: job for job in jobs}
        self._groups = {job.name: group for job, group in jobs.items()}
        self._env: simpy.Environment = simpy.Environment(initial_time=scenario.begins)
        self._record = Record()
        self._service = DrawnService(self._groups, seed=seed, scale=service_scale)
        self._broker = Broker(self._env, scenario.queues)
        self._workers = {spec.name: self._worker(spec) for spec in scenario.workers}
        self._probe = Probe(self._broker, tuple(self._workers.values()), scenario.queues)
        self._engine = Engine()
        use(self._engine, strategy, scenario.control)
        for job in self._jobs.values():
            self._engine.add(job, None, scenario.begins - 1)
        self._beat = Beat(
            self._env, scenario, engine=self._engine, broker=self._broker, probe=self._probe, record=self._record
        )

    def run(self) -> Outcome:
        """From the beginning to the end."""
        for worker in self._workers.values():
            worker.start()
        happenings = Happenings(
            self._env,
            self._scenario,
            workers=self._workers,
            service=self._service,
            broker=self._broker,
            beat=self._beat,
            probe=self._probe,
            record=self._record,
        )
        # What is there from the very beginning is there before beat is.
        for event in self._scenario.events:
            self._env.process(happenings.main(event))
        self._env.process(self._beat.main())
        self._env.process(self._samples())
        self._env.run(until=self._scenario.ends)
        queues = self._scenario.queues
        return Outcome(
            scenario=self._scenario,
            strategy=self._strategy.value,
            seed=self._seed,
            service_scale=self._service_scale,
            jobs=self._jobs,
            groups=self._groups,
            record=self._record,
            peaks=self._broker.peaks,
            means={queue: self._broker.mean(queue) for queue in queues},
            peak=self._broker.peak,
        )

    def _worker(self, spec: WorkerSpec) -> Worker:
        return Worker(
            self._env,
            spec,
            self._broker,
            self._service,
            message_ms=self._scenario.message_ms,
            ended=self._ended,
        )

    def _ended(self, message: Message) -> None:
        self._probe.ended(message)
        self._beat.ended(message)

    def _samples(self) -> "Generator[simpy.Event, Any, None]":
        queues = self._scenario.queues
        while True:
            lengths = tuple(self._broker.length(queue) for queue in queues)
            self._record.samples.append(Sample(int(self._env.now), lengths, self._beat.owed))
            yield self._env.timeout(SAMPLED_EVERY_MS)
