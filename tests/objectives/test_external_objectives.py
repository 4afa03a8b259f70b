import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import pytest
from pydantic import SecretStr

from packages.infra.probes.external_objectives import ExternalObjectives, promql_duration
from packages.infra.probes.judging import Judges
from packages.infra.probes.prometheus import PrometheusClient, PrometheusError
from packages.scheduling.control.burn import WINDOWS_MS
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.readings import ObjectiveReading, WindowCount
from packages.scheduling.snapshot import Reading
from tests.objectives.prometheus_server import Answer, PrometheusServer, vector

PATIENCE_S = 30.0
NOW = 1_800_000_000_000
M5, M30, H1, H6, D3 = WINDOWS_MS
LENGTHS = ["5m", "30m", "1h", "6h", "3d"]
API = Objective("api", Measure.EXTERNAL, 999_000, bad_query="bad[$window]", total_query="all[$window] or $window")
WEB = Objective("web", Measure.EXTERNAL, 999_000, bad_query="web_bad[$window]", total_query="web_all[$window]")
WHOLE = tuple(WindowCount(window_ms, 2, 100) for window_ms in WINDOWS_MS)


def count(query: str) -> Answer:
    return vector("1.6" if "bad" in query else "100.2")


class Clock:
    now = NOW

    def __call__(self) -> int:
        return self.now


class Rounds:
    """What asks, with a clock that stands, and steps from round to round."""

    def __init__(self, server: PrometheusServer) -> None:
        self.server = server
        self.clock = Clock()
        self.objectives = ExternalObjectives(PrometheusClient(SecretStr(server.url)), interval_ms=5, now_ms=self.clock)

    def until(
        self, holds: Callable[[Mapping[str, Reading[ObjectiveReading]]], bool], *wanted: Objective
    ) -> Mapping[str, Reading[ObjectiveReading]]:
        """What is read of `wanted`, the API alone unless it is said, as soon as it is as it should be."""
        waiting = threading.Event()
        for _ in range(int(PATIENCE_S / 0.01)):
            if holds(readings := self.objectives.read(wanted or (API,))):
                return readings
            waiting.wait(0.01)
        pytest.fail(f"it never was so: {readings}")

    def knows(self, *windows: int, after_ms: int = 0) -> None:
        """Wait until exactly these are known, as of that much later."""
        self.clock.now += after_ms
        expected = {"api": Reading(tuple(each for each in WHOLE if each.window_ms in windows), self.clock.now)}
        self.until(lambda readings: readings == expected)

    def has_asked(self, more: int) -> Callable[[object], bool]:
        """Whether that many more questions have been asked since this was called."""
        asked = len(self.server.asked)
        return lambda _: len(self.server.asked) >= asked + more


@pytest.fixture
def rounds(server: PrometheusServer) -> Iterator[Rounds]:
    server.answer = lambda query, _: count(query)
    rounds = Rounds(server)
    yield rounds
    server.released.set()
    rounds.objectives.stop()
    rounds.objectives.wait_for_end(PATIENCE_S)


@pytest.mark.parametrize(("length_ms", "text"), [*zip(WINDOWS_MS, LENGTHS, strict=True), (90_000, "90s")])
def test_windows_as_promql_writes_them(length_ms: int, text: str) -> None:
    assert promql_duration(length_ms) == text


@pytest.mark.parametrize("length_ms", [0, -1000, 1, 1500])
def test_what_promql_cannot_say(length_ms: int) -> None:
    with pytest.raises(ValueError, match="are no whole number of seconds above 0"):
        promql_duration(length_ms)


def test_all_windows_are_asked_about_and_read(rounds: Rounds) -> None:
    rounds.knows(*WINDOWS_MS)
    asked = [asked.query for asked in rounds.server.asked[:10]]
    assert asked == [query for length in LENGTHS for query in (f"bad[{length}]", f"all[{length}] or {length}")]


def test_longer_windows_are_asked_about_less_often(rounds: Rounds) -> None:
    rounds.knows(*WINDOWS_MS)
    rounds.server.asked.clear()
    for _ in range(4):
        rounds.knows(*WINDOWS_MS, after_ms=15_000)
        # The round is over.
        rounds.until(rounds.has_asked(2))
    asked = Counter(asked.query for asked in rounds.server.asked)
    assert asked["bad[5m]"] >= 4
    assert (asked["bad[30m]"], asked["bad[1h]"], asked["bad[6h]"], asked["bad[3d]"]) == (2, 1, 0, 0)


def failing(length: str) -> Callable[[str, object], Answer]:
    return lambda query, _: Answer(b"", 500) if length in query else count(query)


def test_what_is_not_answered_is_left_out(rounds: Rounds) -> None:
    rounds.server.answer = failing("6h")
    rounds.knows(M5, M30, H1, D3)
    rounds.server.answer = lambda query, _: vector() if "bad[5m]" in query else count(query)
    # The window that failed is asked about again as soon as if it had been answered.
    rounds.knows(M30, H1, D3, after_ms=H6 // 60 - 1)
    rounds.knows(M30, H1, H6, D3, after_ms=1)
    rounds.server.answer = lambda query, _: count(query)
    rounds.knows(*WINDOWS_MS, after_ms=5_000)


def test_what_was_not_asked_again_in_time_is_left_out(rounds: Rounds) -> None:
    rounds.knows(*WINDOWS_MS)
    # The server goes away within a round, after the first answers of it.
    rounds.server.answer = lambda query, handler: count(query) if "5m" in query else handler.connection.close()
    rounds.knows(M5, D3, after_ms=H1)


def test_numbers_that_are_gone_are_no_reading(rounds: Rounds) -> None:
    rounds.knows(*WINDOWS_MS)
    before = rounds.objectives.read([API])
    rounds.server.answer = lambda *_: vector()
    rounds.clock.now += D3
    assert rounds.until(rounds.has_asked(20)) == before


def test_a_failure_is_told_once(rounds: Rounds, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rounds.server.answer = failing("6h")
    for _ in range(3):
        rounds.knows(M5, M30, H1, D3, after_ms=5_000)
    rounds.server.answer = lambda query, _: count(query)
    rounds.clock.now += H6
    rounds.until(lambda _: "objective_query_works_again" in caplog.text)
    records = [record for record in caplog.records if "objective" in record.message]
    assert [(record.message, getattr(record, "window", None)) for record in records] == [
        ("objective_query_failed", "6h"),
        ("objective_query_works_again", None),
    ]


def test_the_last_reading_grows_old_while_the_server_fails(rounds: Rounds) -> None:
    rounds.knows(*WINDOWS_MS)
    before = rounds.objectives.read([API])
    rounds.server.answer = lambda *_: Answer(b"", 503)
    rounds.clock.now += 60_000
    assert rounds.until(rounds.has_asked(10)) == before
    rounds.server.answer = lambda query, _: count(query)
    rounds.knows(*WINDOWS_MS, after_ms=5_000)


def test_a_server_that_hangs_holds_up_nobody(rounds: Rounds) -> None:
    rounds.knows(*WINDOWS_MS)
    before = rounds.objectives.read([API])
    hanging = threading.Event()

    def hang(*_: object) -> None:
        hanging.set()
        rounds.server.released.wait()

    rounds.server.answer = hang
    rounds.clock.now += 60_000
    assert hanging.wait(PATIENCE_S)
    assert rounds.objectives.read([API]) == before


def test_no_server_is_no_reading() -> None:
    class Away:
        asked = threading.Semaphore(0)
        closed = threading.Event()

        def value(self, query: str) -> float:
            self.asked.release()
            return PrometheusClient(SecretStr("http://127.0.0.1:1")).value(query)

        def close(self) -> None:
            self.closed.set()

    away = Away()
    objectives = ExternalObjectives(away, interval_ms=5, now_ms=Clock())
    assert objectives.read([API, WEB]) == {}
    for _ in range(3):
        assert away.asked.acquire(timeout=PATIENCE_S)
    assert objectives.read([API, WEB]) == {}
    objectives.stop()
    objectives.wait_for_end(PATIENCE_S)
    assert away.closed.wait(PATIENCE_S)


def test_what_is_wanted_may_change(rounds: Rounds) -> None:
    rounds.until(bool)
    rounds.until(lambda readings: "web" in readings and readings["web"].value == WHOLE, API, WEB)
    assert rounds.objectives.read([WEB]).keys() == {"web"}
    # An objective of the same name that asks something else is another one.
    other = Objective("web", Measure.EXTERNAL, 999_000, bad_query="other_bad[$window]", total_query="x[$window]")
    assert rounds.objectives.read([other]) == {}
    rounds.until(bool, other)


def test_what_breaks_a_round_does_not_end_the_thread(rounds: Rounds, caplog: pytest.LogCaptureFixture) -> None:
    nameless = Objective("api", Measure.EXTERNAL, 1, bad_query="$window", total_query="$window")
    broken = threading.Event()

    class Broken:
        def value(self, _: str) -> float:
            if not broken.is_set():
                broken.set()
                raise RuntimeError("unforeseen")
            return 5.0

        def close(self) -> None:
            pass

    objectives = ExternalObjectives(Broken(), interval_ms=5, now_ms=Clock())
    rounds.objectives, own = objectives, rounds.objectives
    assert rounds.until(bool, nameless)["api"].value[0] == WindowCount(M5, 5, 5)
    assert "objectives_not_asked" in caplog.text
    rounds.objectives.stop()
    rounds.objectives.wait_for_end(PATIENCE_S)
    rounds.objectives = own


def test_nothing_is_started_for_nothing() -> None:
    threads = threading.active_count()
    objectives = ExternalObjectives(PrometheusClient(SecretStr("http://127.0.0.1:1")), interval_ms=5, now_ms=Clock())
    of_task = Objective("ticks", Measure.SUCCESS, 990_000, task="tick")
    assert objectives.read([of_task]) == {}
    assert threading.active_count() == threads
    objectives.stop()
    objectives.wait_for_end(PATIENCE_S)
    assert objectives.read([API]) == {}
    assert threading.active_count() == threads


def test_counters_and_prometheus_together(rounds: Rounds) -> None:
    ticks = Objective("ticks", Measure.SUCCESS, 990_000, task="tick")
    rounds.knows(*WINDOWS_MS)
    judges = Judges(rounds.objectives)
    readings = judges([ticks, API], lambda _: [], NOW + 1)
    assert readings == {
        "ticks": Reading(tuple(WindowCount(window_ms, 0, 0) for window_ms in WINDOWS_MS), NOW + 1),
        "api": Reading(WHOLE, NOW),
    }
    assert Judges(None)([ticks, API], lambda _: None, NOW) == {}


class Slow:
    """Takes its time on a clock of its own, and fails where that was too long. Looks at what is known meanwhile."""

    def __init__(self, *too_long: str) -> None:
        self.clock = Clock()
        self.too_long = too_long
        self.asked: Counter[str] = Counter()
        self.ages: list[int] = []
        self.objectives = ExternalObjectives(self, interval_ms=10_000, now_ms=self.clock)

    def value(self, query: str) -> float:
        window = query[:-1].partition("[")[2]
        self.asked[window] += 1
        self.clock.now += 5_000 if window in self.too_long else 20
        self.ages += [self.clock.now - reading.taken_at for reading in self.objectives._readings.values()]
        if window in self.too_long:
            raise PrometheusError("no answer in time")
        return 100.0

    def close(self) -> None:
        """Nothing."""


@pytest.mark.parametrize("too_long", [(), ("3d",), ("6h", "3d"), ("30m", "1h", "6h", "3d")], ids="+".join)
def test_windows_that_take_too_long_make_no_other_old(too_long: tuple[str, ...]) -> None:
    slow = Slow(*too_long)
    wanted = tuple(
        Objective(f"o{number}", Measure.EXTERNAL, 999_000, bad_query="bad[$window]", total_query="all[$window]")
        for number in range(8)
    )
    # As the thread does, which pauses on another clock.
    while slow.clock.now < NOW + H1:
        slow.objectives._ask_about(wanted, slow.clock.now)
        slow.clock.now += 5_000
    assert max(slow.ages) <= 25_000
    told = {reading.value for reading in slow.objectives._readings.values()}
    lengths = zip(WINDOWS_MS, LENGTHS, strict=True)
    assert told == {tuple(WindowCount(window_ms, 100, 100) for window_ms, name in lengths if name not in too_long)}
    # No window that fails is asked about more often than one that does not.
    assert all(slow.asked[name] <= len(wanted) * H1 // 60_000 for name in too_long)
