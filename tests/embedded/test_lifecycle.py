"""Who keeps the servers running, and who stops them."""

import json

import pytest
import sqlalchemy as sa

from packages.infra.embedded.endpoints import read_endpoints
from packages.infra.embedded.errors import EmbeddedError
from packages.infra.embedded.services import EmbeddedServices
from tests.embedded.conftest import ALL_STOPPED, Holder, answers, pids, read, states, write


def test_both_servers_run_inside_the_block_only(own: EmbeddedServices) -> None:
    with own.hold() as endpoints:
        assert states(own) == {"valkey": "running", "postgres": "running", "mail": "stopped"}
        assert read_endpoints(own.var_dir) == endpoints
        assert answers(endpoints.redis_url)
        assert endpoints.database_url is not None
        engine = sa.create_engine(endpoints.database_url)
        with engine.connect() as connection:
            who = connection.execute(sa.text("SELECT current_user, current_database(), current_setting('timezone')"))
            assert who.one() == ("minsy", "minsy", "UTC")
            rights = sa.text("SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user")
            assert connection.execute(rights).one() == (False, True)
            owner = sa.text("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'minsy'")
            assert connection.execute(owner).scalar_one() == "minsy"
        engine.dispose()
    assert states(own) == ALL_STOPPED
    assert read_endpoints(own.var_dir) is None
    assert not answers(endpoints.redis_url)


@pytest.mark.parametrize(("wanted", "other"), [("valkey", "postgres"), ("postgres", "valkey")])
def test_only_the_wanted_server_starts(own: EmbeddedServices, wanted: str, other: str) -> None:
    with own.hold(want={"valkey"} if wanted == "valkey" else {"postgres"}) as endpoints:
        assert states(own) == {wanted: "running", other: "stopped", "mail": "stopped"}
        assert (endpoints.redis_url is None) == (wanted == "postgres")
        assert (endpoints.database_url is None) == (wanted == "valkey")


def test_a_second_user_reuses_the_server_and_the_last_one_stops_it(own: EmbeddedServices) -> None:
    with own.hold(want={"valkey"}) as first:
        before = pids(own)
        with EmbeddedServices(own.var_dir).hold(want={"valkey"}) as second:
            assert second == first
            assert pids(own) == before
        assert answers(first.redis_url)
    assert not answers(first.redis_url)


def test_a_second_user_may_want_more(own: EmbeddedServices) -> None:
    with own.hold(want={"postgres"}):
        with own.hold(want={"valkey"}) as both:
            assert both.redis_url is not None
            assert both.database_url is not None
        assert states(own) == {"valkey": "running", "postgres": "running", "mail": "stopped"}
    assert states(own) == ALL_STOPPED


def test_an_error_in_the_block_stops_the_servers(own: EmbeddedServices) -> None:
    with pytest.raises(ZeroDivisionError), own.hold(want={"valkey"}):
        raise ZeroDivisionError
    assert states(own)["valkey"] == "stopped"


def test_a_pin_outlives_its_users_until_stop(own: EmbeddedServices) -> None:
    own.start(want={"valkey"})
    with own.hold(want={"valkey"}) as endpoints:
        pass
    assert answers(endpoints.redis_url)
    assert own.is_pinned()
    outcome = own.stop()
    assert outcome.stopped == ("valkey",)
    assert not own.is_pinned()
    assert not answers(endpoints.redis_url)


def test_stop_leaves_a_server_in_use_to_its_user(own: EmbeddedServices, holder: Holder) -> None:
    own.start(want={"valkey"})
    other = holder(own, "valkey")
    assert other.stdout is not None
    other.stdout.readline()
    outcome = own.stop()
    assert (outcome.stopped, outcome.held_by_pids) == ((), (other.pid,))
    assert states(own)["valkey"] == "running"
    other.communicate()
    assert states(own)["valkey"] == "stopped"


def test_force_stops_a_server_in_use(own: EmbeddedServices) -> None:
    with own.hold(want={"valkey"}) as endpoints:
        assert own.stop(force=True).stopped == ("valkey",)
        assert not answers(endpoints.redis_url)


def test_a_killed_user_holds_nothing(own: EmbeddedServices, holder: Holder) -> None:
    other = holder(own, "valkey")
    assert other.stdout is not None
    other.stdout.readline()
    assert own.users() == [other.pid]
    other.kill()
    other.wait()
    assert own.users() == []
    with own.hold(want={"valkey"}):
        pass
    assert states(own)["valkey"] == "stopped"


def test_processes_that_start_at_once_share_one_pair(own: EmbeddedServices, holder: Holder) -> None:
    racers = [holder(own, "valkey,postgres") for _ in range(3)]
    seen = [json.loads(racer.stdout.readline()) for racer in racers if racer.stdout is not None]
    assert [name for name, _, _ in seen[0]] == ["valkey", "postgres"]
    assert seen == [seen[0]] * 3
    assert own.users() == sorted(racer.pid for racer in racers)
    for racer in racers:
        racer.communicate()
    assert states(own) == ALL_STOPPED


def test_data_and_port_stay_across_a_restart(own: EmbeddedServices) -> None:
    with own.hold() as first:
        write(first)
    with own.hold() as second:
        assert second == first
        assert read(second) == ("kept", 7)


def test_data_in_use_is_not_deleted(own: EmbeddedServices) -> None:
    with own.hold(want={"valkey"}), pytest.raises(EmbeddedError, match="in use by process"):
        own.delete_data()


def test_looking_changes_nothing(own: EmbeddedServices) -> None:
    assert states(own) == ALL_STOPPED
    assert own.users() == []
    assert own.revive() == []
    assert own.stop().stopped == ()
    assert not own.var_dir.exists()
