"""One scenario: a server, the replicas on it, and what came into the queues from the first message to the last.

Holds together what the other modules do; what is expected is in the tests.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.faults.checker import Arrival, Kind, Report, Span, Window, check
from tests.faults.drain import Drain, now_ms
from tests.faults.laws import Declared, catalogue
from tests.faults.replicas import Replica
from tests.faults.server import Server, serving

log = logging.getLogger(__name__)

PATIENCE_S: Final = 60.0
# A leader that is hit may have owed what became due a moment before.
_OWED_MS: Final = 1_000


class Stage:
    """See the module. `jobs` are those that are compared; a test may narrow them down.

    `offset_s` is by how much the clock of all replicas is off, for those that are started after it was first set.
    """

    def __init__(self, directory: Path, server: Server, *, lease_period_s: float) -> None:
        self.server = server
        self.drain = Drain(server.client, clock=self.now)
        self.replicas: list[Replica] = []
        self.lease_period_ms = int(lease_period_s * 1_000)
        self.spared = datetime.now(UTC) + timedelta(hours=12, minutes=30)
        self.jobs: Sequence[Declared] = catalogue(self.spared)
        self.outages: list[Window] = []
        self.lost: list[Window] = []
        self.begun = 0
        self._offset_s = 0.0
        self._directory = directory
        self._variables = {
            "FAULTS_SPARED": self.spared.isoformat(),
            "FAULTS_LEASE_PERIOD_S": str(lease_period_s),
        }

    def now(self) -> int:
        """The wall clock that the replicas read."""
        return now_ms() + round(self._offset_s * 1_000)

    def set_clock(self, offset_s: float) -> None:
        """Move the wall clock of the replicas."""
        path = self._directory / "clock"
        new = path.with_suffix(".new")
        new.write_text(str(offset_s), encoding="ascii")
        new.replace(path)
        self._offset_s = offset_s
        self._variables["FAULTS_CLOCK"] = str(path)

    def add(self, **variables: str) -> Replica:
        """Start one more replica."""
        name = f"replica-{len(self.replicas) + 1}"
        replica = Replica(name, self.server.url, self._directory, self._variables)
        self.replicas.append(replica)
        replica.start(**variables)
        return replica

    def begin(self, count: int, **variables: str) -> None:
        """Start so many replicas, and wait until one publishes and the others are at work, too."""
        self.drain.start()
        for _ in range(count):
            self.add(**variables)
        self.begun = self.published_since(0).arrived_at
        for replica in self.replicas:
            self.until(lambda replica=replica: replica.proxy.commands > 0, f"{replica.name} at work")  # type: ignore[misc]  # a bound default

    @property
    def leader(self) -> Replica:
        """The replica that published under the highest term, and last."""
        return max(self.replicas, key=lambda replica: (replica.proxy.term, replica.proxy.published_at_s))

    @property
    def others(self) -> list[Replica]:
        """All but the leader."""
        leader = self.leader
        return [replica for replica in self.replicas if replica is not leader]

    def run_for(self, seconds: float) -> None:
        """Let it run."""
        time.sleep(seconds)

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until the condition holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"no {what}\n{self.logs()}"
            time.sleep(0.01)

    def published_since(self, instant: int) -> Arrival:
        """The first message that was published then or later; waits for it."""
        found: list[Arrival] = []

        def came(arrivals: Sequence[Arrival]) -> bool:
            found[:] = [arrival for arrival in arrivals if arrival.published_at >= instant][:1]
            return bool(found)

        deadline = time.monotonic() + PATIENCE_S
        while not self.drain.wait_for(came, patience_s=1.0):
            is_over = time.monotonic() > deadline or not any(replica.lives for replica in self.replicas)
            assert not is_over, f"nobody publishes\n{self.logs()}"
        return found[0]

    def outage(self, at: int, *, since: int | None = None) -> int:
        """Wait for the end of an outage that began `at`: the first message that was published since (or since now).

        Returns its instant.
        """
        first = self.published_since(self.now() if since is None else since)
        self.outages.append(Window(at - _OWED_MS, first.arrived_at))
        log.info("published again %d ms after the fault, in term %s", first.arrived_at - at, first.term)
        return first.arrived_at

    def window_until_now(self, start: int, *, before_ms: int = _OWED_MS) -> Window:
        """A time in which the replicas had trouble, and `before_ms` of what was before it."""
        return Window(start - before_ms, self.now())

    def report(self, spans: Sequence[Span]) -> Report:
        """What is wrong now."""
        names = {job.name for job in self.jobs}
        everything = {job.name for version in (1, 2) for job in catalogue(self.spared, version=version)}
        return check(
            self.jobs,
            [arrival for arrival in self.drain.arrivals if arrival.job in names or arrival.job not in everything],
            spans,
            outages=self.outages,
            lost=self.lost,
            late_after_ms=self.lease_period_ms,
        )

    def finish(self, spans: Sequence[Span] | None = None) -> Report:
        """Wait for what is still due, end all replicas, and compare. All expected from the first message on."""
        spans = [Span(self.begun, self.now())] if spans is None else spans
        deadline = time.monotonic() + max(10.0, 3 * self.lease_period_ms / 1_000)
        while self.report(spans).of(Kind.MISSED) and time.monotonic() < deadline:
            time.sleep(0.2)
        running = [replica for replica in self.replicas if replica.lives]
        for replica in running:
            replica.terminate()
        codes = {replica.name: replica.wait() for replica in running}
        assert set(codes.values()) <= {0}, f"{codes}\n{self.logs()}"
        self.drain.mark()
        return self.report(spans)

    def assert_in_order(self, spans: Sequence[Span] | None = None) -> None:
        """Finish, without any fault."""
        report = self.finish(spans)
        assert not report.faults, f"{report}\n{self.logs()}"

    @property
    def terms(self) -> list[int]:
        """The terms under which messages came, in order of their first ones."""
        return list(dict.fromkeys(arrival.term for arrival in self.drain.arrivals if arrival.term is not None))

    def logs(self, characters: int = 3_000) -> str:
        """The ends of what the replicas printed."""
        return "\n".join(f"--- {replica.name}\n{replica.log[-characters:]}" for replica in self.replicas)

    def close(self) -> None:
        """Leave nothing behind."""
        for replica in self.replicas:
            replica.close()
        self.drain.close()


@contextmanager
def staged(directory: Path, *, lease_period_s: float = 2.0, durable: bool = True) -> Iterator[Stage]:
    """A stage with a server and no replica yet."""
    with serving(directory / "server", durable=durable) as server:
        stage = Stage(directory, server, lease_period_s=lease_period_s)
        try:
            yield stage
        finally:
            stage.close()
