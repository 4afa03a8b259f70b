"""What the throughput benchmarks say is what they have seen: they fail when messages are lost or doubled."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.throughput import evidence
from benchmarks.throughput.arrivals import Arrival, Watch
from benchmarks.throughput.entries import entries_of
from benchmarks.throughput.report import quantile, tell
from benchmarks.throughput.run import QUEUE, Run
from benchmarks.throughput.server import Server, running_server
from benchmarks.throughput.steady import lateness_s

DUE_AT = 1_800_000_000.0


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    running.empty()
    return running


def arrival(number: int, at: float = DUE_AT) -> Arrival:
    headers = {"beat_job": f"entry-{number}", "scheduled_for": "2027-01-15T08:00:00Z", "beat_origin": "schedule"}
    return Arrival(at, number, f"id-{number}", headers)


def published(server: Server, count: int) -> list[Arrival]:
    with server.client() as client:
        for number in range(count):
            client.sadd(f"bench:beat:claims:7200:{number % 2}", f"claim-{number}")
            client.xadd("bench:ledger", {"t": "1.1", "d": json.dumps({"verdict": "fire"})})
        client.xadd("bench:ledger", {"t": "1.1", "d": json.dumps({"verdict": "skip"})})
        client.xadd("bench:ledger", {"t": "1.1", "s": "{}"})
    return [arrival(number) for number in range(count)]


def test_claims_ledger_and_messages_are_found_to_be_the_same(server: Server) -> None:
    counts = evidence.check(server, published(server, 5))
    assert counts == {
        "messages": 5,
        "fires": 5,
        "task_ids": 5,
        "claims": 5,
        "ledger_fires": 5,
        "ledger_trimmed": 0,
    }


def test_claims_of_the_benchmark_itself_are_not_counted(server: Server) -> None:
    arrivals = published(server, 5)
    with server.client() as client:
        client.sadd("bench:beat:claims:7200:0", "one", "two")
    assert evidence.check(server, arrivals, other_claims=2)["claims"] == 5


def test_a_lost_message_is_noticed(server: Server) -> None:
    arrivals = published(server, 5)
    with pytest.raises(SystemExit, match='"messages": 4'):
        evidence.check(server, arrivals[:-1])


def test_a_doubled_message_is_noticed(server: Server) -> None:
    arrivals = published(server, 5)
    with pytest.raises(SystemExit, match='"messages": 6'):
        evidence.check(server, [*arrivals, arrivals[0]])


def test_a_lost_claim_is_noticed(server: Server) -> None:
    arrivals = published(server, 5)
    with server.client() as client:
        client.spop("bench:beat:claims:7200:0")
    with pytest.raises(SystemExit, match='"claims": 4'):
        evidence.check(server, arrivals)


def test_a_fire_that_is_not_in_the_ledger_is_noticed(server: Server) -> None:
    arrivals = published(server, 5)
    with server.client() as client:
        client.xtrim("bench:ledger", maxlen=6, approximate=False)
    with pytest.raises(SystemExit, match='"ledger_fires": 4'):
        evidence.check(server, arrivals)


def test_messages_are_read_in_the_order_in_which_they_were_pushed(server: Server) -> None:
    with server.client() as client, Watch(server) as watch:
        for number in range(12_000):
            body = "W1swXSwge30sIHt9XQ=="  # [[0], {}, {}]
            client.lpush(QUEUE, json.dumps({"headers": {"id": str(number)}, "body": body}))
        arrivals = watch.stop()
    assert [each.task_id for each in arrivals] == [str(number) for number in range(12_000)]
    assert [each.at for each in arrivals] == sorted(each.at for each in arrivals)


def test_a_fire_that_never_came_is_as_late_as_the_end_of_the_time() -> None:
    came = [arrival(0, DUE_AT + 0.25), arrival(1, DUE_AT + 0.75), arrival(0, DUE_AT + 1.5)]
    late = list(lateness_s(came, count=2, due_at=DUE_AT, until=DUE_AT + 1.75))
    # Entry 1 is due half a second after entry 0; its second fire is owed since a quarter of a second.
    assert late == [0.25, 0.5, 0.25, 0.25]


def test_what_is_due_at_once_is_due_at_the_due_moment(tmp_path: Path) -> None:
    run = Run(
        scheduler="any",
        broker="",
        beside="",
        directory=str(tmp_path),
        count=3,
        kind="burst",
        due_at=DUE_AT,
        warms_up_s=2,
    )
    due = {
        name: entry["last_run_at"] + entry["schedule"].run_every - datetime.fromtimestamp(DUE_AT, UTC)
        for name, entry in entries_of(run).items()
    }
    assert {name: ahead.total_seconds() for name, ahead in due.items()} == {
        "entry-0": 0,
        "entry-1": 0,
        "entry-2": 0,
        "warm-up": -2,
    }


@pytest.mark.parametrize(
    ("ratio", "is_met_when", "is_met"),
    [(40.0, "at_least", True), (39.9, "at_least", False), (39.9, "at_most", True), (41, "at_most", False)],
)
def test_an_aim_is_met_or_not(
    capsys: pytest.CaptureFixture[str], ratio: float, is_met_when: str, *, is_met: bool
) -> None:
    is_at_least = is_met_when == "at_least"
    tell("burst", "any", ratio=ratio, aim=40, is_met_when="at_least" if is_at_least else "at_most", ours={})
    assert json.loads(capsys.readouterr().out)["met"] is is_met


def test_what_could_not_be_measured_is_not_met(capsys: pytest.CaptureFixture[str]) -> None:
    tell("burst", "any", ratio=None, aim=40, is_met_when="at_most", ours={})
    assert json.loads(capsys.readouterr().out)["met"] is False


def test_a_quantile_of_nothing_is_nothing() -> None:
    assert quantile([], 0.99) is None
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
