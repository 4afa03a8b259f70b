"""What stands behind an error: of real servers that are out of order, by plain commands and from within scripts."""

import errno
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from amqp import exceptions as amqp
from celery.beat import SchedulingError
from kombu import Connection
from kombu.exceptions import InconsistencyError, OperationalError
from redis import exceptions

from packages.infra.beat.standing import Trouble
from packages.infra.beat.trouble import IN_WORDS, sentence_of, trouble_of
from packages.infra.embedded.ports import LOOPBACK, choose_port
from packages.infra.queue.guarded_redis import NotAskedError
from tests.beat.own_valkey import client_of, own_valkey

WRITES = "return redis.call('SET', KEYS[1], 'x')"


def error_of(action: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as raised:  # noqa: PT011  # whatever it is, is the subject
        action()
    return raised.value


def errors_of_writing(client: redis.Redis) -> Iterator[Exception]:
    yield error_of(lambda: client.set("key", "x"))
    yield error_of(lambda: client.eval(WRITES, 1, "key"))
    with client.pipeline() as transaction, client.pipeline(transaction=False) as pipeline:
        transaction.set("key", "x")
        yield error_of(transaction.execute)
        pipeline.eval(WRITES, 1, "key")
        yield error_of(pipeline.execute)


def error_of_kombu(url: str) -> Exception:
    def publish() -> None:
        limits = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
        with Connection(url, transport_options=limits) as connection:
            connection.ensure_connection(max_retries=0)
            connection.Producer().publish({}, routing_key="queue", declare=[connection.SimpleQueue("queue").queue])

    return error_of(publish)


def test_a_full_server_is_told() -> None:
    with own_valkey("--maxmemory", "1", "--maxmemory-policy", "noeviction") as port:
        with client_of(port) as client:
            assert [trouble_of(error) for error in errors_of_writing(client)] == [Trouble.FULL] * 4
        assert trouble_of(error_of_kombu(f"redis://{LOOPBACK}:{port}")) is Trouble.FULL


def test_a_replica_is_told() -> None:
    with own_valkey("--replicaof", LOOPBACK, "1") as port, client_of(port) as client:
        assert [trouble_of(error) for error in errors_of_writing(client)] == [Trouble.READ_ONLY] * 4
        client.config_set("replica-serve-stale-data", "no")
        assert trouble_of(error_of(lambda: client.get("key"))) is Trouble.READ_ONLY


def test_a_server_that_lacks_replicas_is_told() -> None:
    with own_valkey("--min-replicas-to-write", "1") as port, client_of(port) as client:
        assert [trouble_of(error) for error in errors_of_writing(client)] == [Trouble.READ_ONLY] * 4


def test_a_refused_user_is_told() -> None:
    with own_valkey("--requirepass", "right") as port:
        for options in ({}, {"password": "wrong"}, {"username": "nobody", "password": "right"}):
            with client_of(port, **options) as client:
                assert {trouble_of(error) for error in errors_of_writing(client)} == {Trouble.AUTHENTICATION}
        for credentials in ("", ":wrong@"):
            error = error_of_kombu(f"redis://{credentials}{LOOPBACK}:{port}")
            assert trouble_of(error) is Trouble.AUTHENTICATION


def test_a_user_that_may_not_write_is_told() -> None:
    with own_valkey() as port, client_of(port) as admin:
        admin.execute_command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@all", "-set")
        with client_of(port, username="reader", password="secret") as client:
            assert {trouble_of(error) for error in errors_of_writing(client)} == {Trouble.AUTHENTICATION}


def test_tls_against_a_plain_port_is_told() -> None:
    with own_valkey() as port:
        with client_of(port, ssl=True, socket_timeout=0.5, socket_connect_timeout=0.5) as client:
            assert trouble_of(error_of(client.ping)) is Trouble.TLS
        assert trouble_of(error_of_kombu(f"rediss://{LOOPBACK}:{port}?ssl_cert_reqs=required")) is Trouble.TLS


def test_a_refused_port_and_an_unknown_host_are_told() -> None:
    port = choose_port(None)
    with client_of(port) as client, client_of(port, host="no-such-host.invalid") as lost:
        assert trouble_of(error_of(client.ping)) is Trouble.UNREACHABLE
        assert trouble_of(error_of(lost.ping)) is Trouble.UNREACHABLE
    assert trouble_of(error_of_kombu(f"redis://{LOOPBACK}:{port}")) is Trouble.UNREACHABLE


def test_a_server_that_is_busy_is_told() -> None:
    with own_valkey() as port, client_of(port) as other, client_of(port, socket_timeout=0.1) as client:
        other.client_pause(2_000)
        assert trouble_of(error_of(lambda: client.set("key", "x"))) is Trouble.TIMEOUT


def test_any_other_answer_is_told() -> None:
    with own_valkey() as port, client_of(port) as client:
        client.lpush("list", "x")
        assert trouble_of(error_of(lambda: client.get("list"))) is Trouble.ANSWER
        assert trouble_of(error_of(lambda: client.eval("return redis.call('GET', 'list')", 0))) is Trouble.ANSWER
        # A name of a kind in somebody's own words is none.
        said = "return redis.error_reply('ERR nothing is READONLY here: LOADING_DOCK')"
        assert trouble_of(error_of(lambda: client.eval(said, 0))) is Trouble.ANSWER


def caused(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


def during(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__context__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        # A server before Redis 7, from within a script.
        (
            exceptions.ResponseError("Error running script: @user_script:1: -OOM command not allowed"),
            "full",
        ),
        (exceptions.ResponseError("Error running script: @user_script: 1: -READONLY You can't write"), "read_only"),
        (exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"), "read_only"),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "loading"),
        (exceptions.ResponseError("LOADING Valkey is loading the dataset in memory"), "loading"),
        (exceptions.ConnectionError("max number of clients reached"), "unreachable"),
        (NotAskedError("not asked"), "timeout"),
        (caused(OperationalError("x"), exceptions.TimeoutError("Timeout connecting to server")), "timeout"),
        (caused(OperationalError("x"), ConnectionResetError(errno.ECONNRESET, "reset")), "unreachable"),
        (caused(OperationalError("x"), FileNotFoundError("somebody's template")), "message"),
        (during(exceptions.ConnectionError("Error 1"), ssl.SSLCertVerificationError("self-signed")), "tls"),
        (during(SchedulingError("x"), during(exceptions.ConnectionError("x"), ssl.SSLError("x"))), "tls"),
        # What was handled before it does not matter.
        (during(exceptions.ResponseError("ERR no"), exceptions.ConnectionError("gone")), "answer"),
        (OperationalError("nothing more is known"), "unreachable"),
        (OSError(errno.ENETUNREACH, "no network"), "unreachable"),
        (amqp.AccessRefused("ACCESS_REFUSED - Login was refused"), "authentication"),
        (amqp.ConnectionForced("going down"), "unreachable"),
        (amqp.PreconditionFailed("other arguments"), "answer"),
        (InconsistencyError("no binding"), "message"),
        (TypeError("unhashable"), "message"),
        (ValueError("LOADING dock"), "message"),
    ],
)
def test_an_error_is_known_by_what_stands_behind_it(error: BaseException, trouble: str) -> None:
    assert trouble_of(error) == trouble


def test_a_circle_of_errors_ends() -> None:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__context__ = second, first
    assert trouble_of(first) is Trouble.MESSAGE


def test_every_kind_has_its_words() -> None:
    assert set(IN_WORDS) == set(Trouble)
    said = sentence_of(exceptions.ReadOnlyError("You can't write\nagainst a read only replica."))
    assert said == f"{IN_WORDS[Trouble.READ_ONLY]} (You can't write against a read only replica.)"
    assert sentence_of(ValueError()) == f"{IN_WORDS[Trouble.MESSAGE]} (ValueError)"
