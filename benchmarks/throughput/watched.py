"""One run with a due moment: a beat is started early enough, watched from there on, and ended."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.throughput.arrivals import Arrival, Watch
from benchmarks.throughput.beat import Beat, BeatFailedError, running_beat
from benchmarks.throughput.contenders import Contender
from benchmarks.throughput.run import WARM_UP, Run
from benchmarks.throughput.server import Server

_STARTS: Final = 3
_READY_WITHIN_S: Final = 120.0
_POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was seen. `until`: the due moment and the limit (epoch, seconds); the CPU is that of beat from due to end.

    `seen`: how many messages the connected receiver was told of. `server_cpu_s`: the server's, the watching in it.
    """

    run: Run
    until: float
    arrivals: Sequence[Arrival]
    seconds: float
    cpu_s: float
    server_cpu_s: float
    seen: int

    def in_time(self) -> list[Arrival]:
        """What came up to the limit, without the warm-up."""
        return [arrival for arrival in self.arrivals if arrival.number != WARM_UP and arrival.at <= self.until]


def watched(  # noqa: PLR0913  # all by name
    contender: Contender,
    server: Server,
    *,
    count: int,
    limit_s: float,
    is_over: Callable[[Watch], bool] = lambda _: False,
    prepare: Callable[[Watch], None] = lambda _: None,
    prepare_s: float = 0.0,
    **what: Any,  # noqa: ANN401  # more fields of `Run`
) -> Watched:
    """Watch one run until it is over, but not longer than `limit_s` after the due moment.

    `prepare` is called after the warm-up was sent, and has `prepare_s`. Whoever is not ready for the warm-up starts
    again with more time.

    Raises:
        BeatFailedError: it was not ready in time three times.
    """
    warms_up_s = contender.warms_up_s + prepare_s
    lead_s = contender.lead_s(count) + warms_up_s
    for _ in range(_STARTS):
        due_at = time.time() + lead_s
        what |= {"count": count, "due_at": due_at, "warms_up_s": warms_up_s}
        with running_beat(contender, server, **what) as beat, Watch(server) as watch:
            beat.first_tick(within_s=lead_s + _READY_WITHIN_S, is_ours=contender.is_ours)
            if time.time() < due_at - warms_up_s:
                return _watched(beat, server, watch, limit_s=limit_s, is_over=is_over, prepare=prepare)
        lead_s *= 2
    raise BeatFailedError(f"{contender.name} was not ready within {lead_s / 2:.0f} s")


def _watched(  # noqa: PLR0913  # see `watched`
    beat: Beat,
    server: Server,
    watch: Watch,
    *,
    limit_s: float,
    is_over: Callable[[Watch], bool],
    prepare: Callable[[Watch], None],
) -> Watched:
    due_at = beat.run.due_at
    while not watch.length:
        if time.time() > due_at:
            raise BeatFailedError(f"{beat.run.scheduler} has not sent the warm-up")
        time.sleep(_POLL_S)
    prepare(watch)
    if time.time() > due_at:
        raise BeatFailedError("the preparation has not ended in time")
    time.sleep(max(0.0, due_at - time.time()))
    began, server_cpu_s, cpu_s = time.time(), server.cpu_s(), beat.so_far()["cpu_s"]
    while time.time() < due_at + limit_s and not is_over(watch):
        time.sleep(_POLL_S)
    said, server_cpu_s, ended = beat.so_far(), server.cpu_s() - server_cpu_s, time.time()
    # Only then are all messages there that it has sent.
    beat.end()
    return Watched(
        run=beat.run,
        until=due_at + limit_s,
        arrivals=watch.stop(),
        seconds=ended - began,
        cpu_s=said["cpu_s"] - cpu_s,
        server_cpu_s=server_cpu_s,
        seen=said["seen"],
    )
