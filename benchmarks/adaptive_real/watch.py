"""One scenario in real time: real processes, what befalls them at its time, and what is to be seen from outside."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from celery import Celery

from benchmarks.adaptive_real.measures import Look, Seen
from benchmarks.adaptive_real.processes import Processes, node_of, real_processes, resize
from benchmarks.adaptive_real.run import APP, STARTS, RealRun, Start, next_beginning, present, scenario_in
from benchmarks.throughput.server import Server, running_server
from packages.infra.beat.beat_status import BeatStatusStore, Replicas
from packages.infra.beat.kept_controllers import KeptControllers
from packages.infra.ledger.redis_ledger import RedisLedger
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.infra.queue.worker_heartbeats import WorkerHeartbeats
from packages.scheduling.control.controllers import NEUTRAL, Controllers
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.simulation.job_groups import jobs_of
from packages.scheduling.simulation.scenario import Resized, Scenario

LOOKS_EVERY_S: Final = 0.5
STARTS_WITHIN_S: Final = 60.0
# Beat has the lease and its entries by then, or the run is not begun.
BEAT_STARTS_IN_S: Final = 8.0
_POLL_S: Final = 0.1
_MOST_DECISIONS: Final = 1_000_000
# How kombu calls the lists of the other priorities of a queue.
_PRIORITY_SUFFIXES: Final = ("", "\x06\x163", "\x06\x166", "\x06\x169")


class Platform:
    """The server and the processes of a run, and what can be seen of them."""

    def __init__(self, server: Server, processes: Processes, scenario: Scenario) -> None:
        self.server = server
        self.processes = processes
        self.scenario = scenario
        self.app = Celery(APP, broker=server.url(), set_as_current=False)
        self._redis = open_broker_redis(self.app)
        self._client = server.client()

    @property
    def redis(self) -> BrokerRedis:
        """What beat and the workers keep there."""
        if self._redis is None:
            raise TypeError("the server is no Redis")
        return self._redis

    def start_workers(self) -> None:
        """Start all workers; returns when they take messages."""
        for spec in self.scenario.workers:
            self.processes.start_worker(spec)
        self.wait_for(self._workers_live, "heartbeat of each worker")

    def start_beat(self, name: str) -> int:
        """Start the beat that leads. Returns the instant at which the scenario begins.

        Raises:
            SystemExit: it does not lead by then.
        """
        begins = next_beginning(self.scenario, present() + round(BEAT_STARTS_IN_S * SECOND_MS))
        self.processes.start_beat(name, begins)
        self.wait_for(lambda: self.replicas().holder, "beat that leads")
        if present() >= begins:
            raise SystemExit("beat has led too late for the beginning of the scenario")
        return begins

    def replicas(self) -> Replicas:
        """The beats that live."""
        return BeatStatusStore(self.redis).read()

    def controllers(self) -> Controllers:
        """The state of the control, as beat has stored it."""
        return KeptControllers(self.redis).read() or NEUTRAL

    def ready(self) -> int:
        """How many messages wait at the broker."""
        with self._client.pipeline(transaction=False) as pipe:
            for queue in self.scenario.queues:
                for suffix in _PRIORITY_SUFFIXES:
                    pipe.llen(f"{queue}{suffix}")
            return sum(pipe.execute())

    def starts(self) -> list[Start]:
        """The runs that have begun."""
        with self.server.client(1) as beside:
            return [Start.read(text) for text in beside.lrange(STARTS, 0, -1)]

    def wait_for(self, condition: Callable[[], object], what: str, *, within_s: float = STARTS_WITHIN_S) -> None:
        """Wait until the condition holds.

        Raises:
            SystemExit: it does not, or a process has ended.
        """
        deadline = time.monotonic() + within_s
        while not condition():
            self.processes.check()
            if time.monotonic() > deadline:
                raise SystemExit(f"no {what} within {within_s:g} s")
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Let go of the connections."""
        self.redis.close()
        self._client.close()
        self.app.close()

    def _workers_live(self) -> bool:
        heartbeats = WorkerHeartbeats(self.redis)
        with self.redis.client.pipeline(transaction=False) as pipe:
            heartbeats.ask(pipe)
            living = heartbeats.take(pipe.execute())
        return all(
            (state := living.get(node_of(spec.name))) is not None and state.is_alive for spec in self.scenario.workers
        )


@contextmanager
def platform(file: Path) -> Iterator[Platform]:
    """A platform for a scenario, with nothing but the server running; all of it ends with the block."""
    scenario = scenario_in(file)
    with running_server() as server:
        run = RealRun(str(file.absolute()), scenario.begins, server.url(1))
        with real_processes(server.directory, server.url(), run) as processes:
            found = Platform(server, processes, scenario)
            try:
                yield found
            finally:
                found.close()


def run_through(on: Platform, begins: int, tell: Callable[[str], None]) -> Seen:
    """The whole scenario from its beginning on, in real time; what was seen of it. `tell` is for people."""
    seen, jobs = Seen(), {job.name: job for job in jobs_of(on.scenario)}
    sizes = {spec.name: spec.processes for spec in on.scenario.workers}
    upcoming = _sizes(on.scenario)
    while (elapsed := present() - begins) < on.scenario.length_ms:
        while upcoming and elapsed >= upcoming[0][0]:
            _, worker, size = upcoming.pop(0)
            for done_at in resize(on.app, worker, size - sizes[worker]):
                sizes[worker] = size if size > sizes[worker] else sizes[worker] - 1
                seen.happened.append(Resized(done_at - begins, worker, sizes[worker]))
                tell(f"{(done_at - begins) / SECOND_MS:.1f} s: {worker} has {sizes[worker]} processes")
        if elapsed >= 0:
            seen.looks.append(Look(present(), on.ready(), on.controllers().throttles))
        on.processes.check()
        time.sleep(LOOKS_EVERY_S - time.time() % LOOKS_EVERY_S)
    seen.decisions = RedisLedger(on.redis).read(None, _MOST_DECISIONS)
    for start in on.starts():
        seen.delays[jobs[start.job].criticality].append(start.began_at - start.published_at)
    return seen


def _sizes(scenario: Scenario) -> list[tuple[int, str, int]]:
    """When which worker is to have how many processes."""
    whole = {spec.name: spec.processes for spec in scenario.workers}
    found = []
    for event in scenario.events:
        if isinstance(event, Resized):
            found.append((event.at, event.worker, event.processes))
            if event.lasts_ms is not None:
                found.append((event.at + event.lasts_ms, event.worker, whole[event.worker]))
    return sorted(found)
