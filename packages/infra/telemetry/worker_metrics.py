"""How late a worker begins beat's messages, by queue: counted in its main process, told by whichever process begins.

    process that runs a task ──(one record through a pipe)──> main process ──> buckets ──> /metrics

A record that finds the pipe full is left out. Decides nothing.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from packages.infra.telemetry.buckets import Buckets
from packages.infra.telemetry.http_server import Page, PagesServer
from packages.infra.telemetry.process_pipe import ProcessPipe

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

OTHER_QUEUE: Final = "other"
DELAY_BOUNDS_MS: Final = (
    *(5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000),
    *(30_000, 60_000, 300_000, 900_000, 3_600_000),
)
# The queue by its place, and both delays in milliseconds.
_RECORD: Final = struct.Struct("!Hqq")
_LONGEST_MS: Final = 2**62


class WorkerDelays:
    """Of one worker, made in its main process before it forks. `queues` are those that are told apart."""

    def __init__(self, queues: Sequence[str]) -> None:
        self._queues = (*queues, OTHER_QUEUE)
        self._places = {queue: place for place, queue in enumerate(self._queues)}
        self.start_delay = [Buckets(DELAY_BOUNDS_MS) for _ in self._queues]
        self.end_to_end = [Buckets(DELAY_BOUNDS_MS) for _ in self._queues]
        self.pipe = ProcessPipe(self._count, name="worker-delays")

    def begun(self, queue: str, *, start_delay_ms: int, end_to_end_ms: int) -> None:
        """A run begins in this process: so long after its publishing, and after it was planned."""
        place = self._places.get(queue, len(self._queues) - 1)
        start, end = (max(-_LONGEST_MS, min(_LONGEST_MS, delay)) for delay in (start_delay_ms, end_to_end_ms))
        self.pipe.tell(_RECORD.pack(place, start, end))

    def of_queue(self) -> Iterator[tuple[str, Buckets, Buckets]]:
        """Queue, start delay, end-to-end delay."""
        yield from zip(self._queues, self.start_delay, self.end_to_end, strict=True)

    def _count(self, record: bytes) -> None:
        place, start_delay_ms, end_to_end_ms = _RECORD.unpack(record)
        self.start_delay[place].add_one(start_delay_ms)
        self.end_to_end[place].add_one(end_to_end_ms)


def worker_server(delays: WorkerDelays, *, host: str, port: int) -> PagesServer:
    """A server of `/metrics`, not yet started."""

    def pages() -> Mapping[str, Callable[[], Page]]:
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        registry = _registry(delays)
        return {"/metrics": lambda: Page(200, CONTENT_TYPE_LATEST, generate_latest(registry))}

    return PagesServer(pages, host=host, port=port)


def _registry(delays: WorkerDelays) -> "CollectorRegistry":
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.core import HistogramMetricFamily
    from prometheus_client.registry import Collector

    class DelayCollector(Collector):
        """Both delays by queue, of the queues that had any."""

        def collect(self) -> "Iterator[Metric]":
            start = HistogramMetricFamily(
                "minsy_worker_start_delay_seconds", "Start of a run minus publishing.", labels=["queue"]
            )
            whole = HistogramMetricFamily(
                "minsy_worker_end_to_end_delay_seconds", "Start of a run minus what was planned.", labels=["queue"]
            )
            for queue, start_delay, end_to_end in delays.of_queue():
                for family, buckets in ((start, start_delay), (whole, end_to_end)):
                    cumulative, total = buckets.cumulative(per_unit=1_000)
                    if cumulative[-1][1]:
                        family.add_metric([queue], buckets=cumulative, sum_value=total)
            yield from (start, whole)

    registry = CollectorRegistry()
    registry.register(DelayCollector())
    ProcessCollector(registry=registry)
    return registry
