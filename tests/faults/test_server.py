"""What happens to the server: full, read-only, locked, away, emptied, set back. Every replica lives and goes on."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from packages.infra.embedded.ports import LOOPBACK, choose_port
from tests.faults.checker import busiest
from tests.faults.server import PASSWORD, Server
from tests.faults.stage import Stage, staged

AGAIN_WITHIN_MS = 5_000
LONGEST_AWAY_S = 40
DEFAULT_LEASE_PERIOD_S = 10.0
# A follower asks now and then who leads, and takes what was due a while before that for published.
KNOWN_LED_MS = 1_500


@contextmanager
def full(server: Server) -> Iterator[None]:
    with server.client() as client:
        client.config_set("maxmemory", "1")
        yield
        client.config_set("maxmemory", "0")


@contextmanager
def read_only(server: Server) -> Iterator[None]:
    with server.client() as client:
        client.replicaof(LOOPBACK, str(choose_port(None)))
        yield
        client.replicaof("NO", "ONE")


@contextmanager
def locked(server: Server) -> Iterator[None]:
    with server.client() as client:
        client.config_set("requirepass", "another one")
        # Who is in stays in.
        client.client_kill_filter(_type="normal", skipme=True)
        yield
        client.config_set("requirepass", PASSWORD)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [(full, "full"), (read_only, "read_only"), (locked, "authentication")],
    ids=["full", "read_only", "locked"],
)
def test_a_server_that_takes_nothing_is_named_and_waited_for(
    stage: Stage, trouble: "Callable[[Server], Iterator[None]]", said: str
) -> None:
    stage.begin(2)
    at = stage.now()
    with trouble(stage.server):  # type: ignore[attr-defined]  # a context manager
        stage.run_for(4)
        assert any(f"trouble={said}" in replica.log for replica in stage.replicas), stage.logs()
    over = stage.now()
    assert stage.outage(at) - over <= AGAIN_WITHIN_MS
    assert all(replica.lives for replica in stage.replicas)
    stage.assert_in_order()


@pytest.mark.chaos
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_ten_restarts_with_the_data(stage: Stage, how: signal.Signals) -> None:
    stage.begin(3)
    for n in range(10):
        restarted(stage, how=how, away_s=n % 3)
    stage.assert_in_order()


@pytest.mark.chaos
def test_a_server_that_is_away_for_long(tmp_path: Path) -> None:
    with staged(tmp_path, lease_period_s=DEFAULT_LEASE_PERIOD_S) as stage:
        stage.begin(3)
        restarted(stage, away_s=LONGEST_AWAY_S)
        stage.assert_in_order()


@pytest.mark.chaos
def test_a_server_that_is_frozen_for_long(tmp_path: Path) -> None:
    with staged(tmp_path, lease_period_s=DEFAULT_LEASE_PERIOD_S) as stage:
        stage.begin(3)
        at = stage.now()
        stage.server.freeze()
        stage.run_for(LONGEST_AWAY_S)
        stage.server.thaw()
        over = stage.now()
        assert stage.outage(at) - over <= AGAIN_WITHIN_MS
        stage.assert_in_order()


@pytest.mark.chaos
def test_ten_restarts_without_the_data(tmp_path: Path) -> None:
    with staged(tmp_path, durable=False) as stage:
        stage.begin(3)
        for n in range(10):
            at = restarted(stage, away_s=n % 3)
            stage.lost.append(stage.window_until_now(at, before_ms=KNOWN_LED_MS))
        assert_only_the_lost_stretch_is_touched(stage)


@pytest.mark.chaos
def test_everything_is_deleted(stage: Stage) -> None:
    stage.begin(3)
    for _ in range(3):
        stage.run_for(3)
        at = stage.now()
        with stage.server.client() as client:
            client.flushall()
        assert stage.outage(at) - at <= AGAIN_WITHIN_MS
        stage.lost.append(stage.window_until_now(at, before_ms=KNOWN_LED_MS))
    assert_only_the_lost_stretch_is_touched(stage)


@pytest.mark.chaos
def test_everything_is_deleted_and_the_leader_killed(stage: Stage) -> None:
    stage.begin(3)
    at = stage.now()
    with stage.server.client() as client:
        client.flushall()
    stage.leader.kill()
    assert stage.outage(at) - at <= AGAIN_WITHIN_MS
    stage.lost.append(stage.window_until_now(at, before_ms=KNOWN_LED_MS))
    assert_only_the_lost_stretch_is_touched(stage)


@pytest.mark.chaos
def test_a_failover_that_loses_the_last_second(stage: Stage) -> None:
    stage.begin(3)
    for _ in range(3):
        stage.run_for(3)
        copied_at, copied = stage.now(), stage.server.copy()
        stage.run_for(1)
        stage.server.stop(how=signal.SIGKILL)
        stage.server.set_back(copied)
        stage.server.start()
        over = stage.now()
        assert stage.outage(copied_at, since=over) - over <= AGAIN_WITHIN_MS
        stage.lost.append(stage.window_until_now(copied_at, before_ms=KNOWN_LED_MS))
    assert_only_the_lost_stretch_is_touched(stage)


def restarted(stage: Stage, *, away_s: float, how: signal.Signals = signal.SIGTERM) -> int:
    """Restart the server. Returns when it went."""
    stage.run_for(1)
    at = stage.now()
    stage.server.stop(how=how)
    stage.run_for(away_s)
    stage.server.start()
    over = stage.now()
    assert stage.outage(at, since=over) - over <= AGAIN_WITHIN_MS
    return at


def assert_only_the_lost_stretch_is_touched(stage: Stage) -> None:
    """The schedule goes on, no storm; a new leader may have begun ordinary entries anew."""
    stage.run_for(5)
    begun_again = {job.name for job in stage.jobs if job.law is None}
    stage.jobs = [job for job in stage.jobs if job.law is not None]
    report = stage.finish()
    assert not report.faults, f"{report}\n{stage.logs()}"
    # Old terms count from the first message, through all that was forgotten.
    assert stage.terms == sorted(stage.terms)
    assert {
        arrival.job for arrival in stage.drain.arrivals if arrival.scheduled_for > stage.lost[-1].end
    } >= begun_again
    longest_ms = max(window.end - window.start for window in stage.lost)
    assert busiest(stage.drain.arrivals, 1_000) <= 12 * (longest_ms / 1_000 + 2)


def test_the_own_user_of_the_tests_is_never_locked_out(tmp_path: Path) -> None:
    server = Server(tmp_path / "server", durable=False)
    server.start()
    try:
        with locked(server):
            with pytest.raises(redis.AuthenticationError):
                redis.Redis.from_url(server.url).ping()
            with server.client() as client:
                assert client.ping()
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
    finally:
        server.stop()
    assert isinstance(server.copy(), Path)
