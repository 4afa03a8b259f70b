"""Another server for external objectives after a reload: beat goes on at once, and nothing is left behind."""

import threading

from pydantic import SecretStr

from packages.infra.beat.probing import Asked, Probing
from packages.infra.probes.external_objectives import ExternalObjectives
from packages.infra.probes.prometheus import PrometheusAwayError
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.instants import MINUTE_MS
from tests.beat.test_probing import JOB, NOW, Control, Probe

PATIENCE_S = 30.0


class Hanging:
    """A server of which a question has no answer until it is let go. Counts who has let go of it."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.goes_on = threading.Event()
        self.closed = threading.Semaphore(0)

    def value(self, query: str) -> float:
        self.asked.release()
        self.goes_on.wait()
        raise PrometheusAwayError(query)

    def close(self) -> None:
        self.closed.release()


class External(ExternalObjectives):
    """Asks for real, and counts how often somebody has waited for it to end."""

    waited = 0

    def wait_for_end(self, timeout_s: float) -> None:
        self.waited += 1
        super().wait_for_end(timeout_s)


def test_beat_does_not_wait_for_a_question_under_way_when_another_server_is_to_be_asked() -> None:
    threads, server, external = threading.active_count(), Hanging(), []
    about = Objective("api", Measure.EXTERNAL, 1, bad_query="$window", total_query="$window")
    control = Control()

    def opened(interval_ms: int) -> Asked:
        external.append(External(server, interval_ms=interval_ms, now_ms=lambda: NOW))
        external[-1].read([about])
        return Asked(Probe(interval_ms), external[-1], control.prometheus_url)

    probing = Probing(control, opened)
    probing.want([JOB])
    for number in range(3):
        control.prometheus_url = SecretStr(f"http://server-{number}:9090")
        # The first time there is nobody to let go of, and it is asked when there is time.
        probing.look_ahead(NOW, None)
        probing.read(NOW + number * MINUTE_MS)
        assert server.asked.acquire(timeout=PATIENCE_S)
    assert [each.waited for each in external] == [0, 0, 0]
    assert threading.active_count() == threads + 3
    server.goes_on.set()
    # Those that were left to themselves end by themselves.
    assert all(server.closed.acquire(timeout=PATIENCE_S) for _ in range(2))
    probing.close()
    assert external[2].waited == 1
    assert server.closed.acquire(timeout=PATIENCE_S)
    assert threading.active_count() == threads
