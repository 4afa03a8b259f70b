"""Ended runs as workers tell them, at an instant that a test gives."""

from typing import Any

import redis.exceptions
from hypothesis import strategies as st

from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.work_buckets import EXPIRED, FAILED, OK
from packages.infra.queue.work_sums import EndedRun, WorkSums

NOW = 1_795_330_007_123
KEY = ("q", "t", "none")
ENDS = st.builds(
    EndedRun,
    queue=st.sampled_from(["a", "b"]),
    task=st.sampled_from(["x", "y"]),
    outcome=st.sampled_from([OK, FAILED, EXPIRED]),
    wait_ms=st.none() | st.integers(0, 10**8),
    run_ms=st.none() | st.integers(0, 10**8),
)


class Clock:
    """Stands until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


class Unreliable:
    """A client whose `eval` fails where the list says so: before the server hears of it, or before the answer comes."""

    def __init__(self, client: Any, failures: list[str]) -> None:  # noqa: ANN401  # a redis client
        self._client, self._failures = client, failures

    def eval(self, *arguments: str | int) -> object:
        failure = self._failures.pop(0) if self._failures else "none"
        if failure == "unheard":
            raise redis.exceptions.ConnectionError(failure)
        answer = self._client.eval(*arguments)
        if failure == "unanswered":
            raise redis.exceptions.TimeoutError(failure)
        return answer


def flushed(broker: BrokerRedis, *runs: EndedRun, at: int = NOW) -> None:
    sums = WorkSums({}, lambda: at)
    for run in runs:
        sums.add(run)
    sums.flush(broker)
