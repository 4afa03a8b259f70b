"""A real `minsy up` that loses several parts at once, its terminal, or itself."""

import os
import signal
import socket
from contextlib import suppress
from typing import Any

import psutil
import pytest
from kombu import Connection, Queue

from packages.infra.embedded.endpoints import read_endpoints
from packages.infra.embedded.services import EmbeddedServices
from tests.end_to_end.running import Running, running


def ready(service: Running, *, times: int = 1) -> None:
    service.wait_for(
        lambda: all(
            sum(f"{name} " in line and " ready." in line for line in service.log("up").splitlines()) >= times
            for name in ("worker_io", "worker_cpu")
        ),
        "workers",
        "up",
    )


def hold_a_message(service: Running, queue: str) -> None:
    """As a worker that was killed inside of a task: taken, and neither acknowledged nor given back."""
    endpoints = read_endpoints(service.var_dir)
    assert endpoints is not None
    assert endpoints.redis_url is not None
    with Connection(endpoints.redis_url) as connection:
        channel: Any = connection.channel()
        bound = Queue(queue, routing_key=queue)(channel)
        bound.declare()
        connection.Producer(channel).publish("{}", routing_key=queue, exchange=bound.exchange)
        assert bound.get() is not None
        channel.qos._delivered.clear()
        channel.do_restore = False


@pytest.mark.end_to_end
def test_broker_and_worker_that_die_together_come_back_and_a_closed_terminal_stops_all() -> None:
    with running() as service:
        up = service.start("up", "apps.cli.main", "up")
        ready(service)
        others = {name: service.pid_of(name) for name in ("beat", "worker_cpu")}
        valkey = service.pid_of("embedded valkey")
        os.kill(valkey, signal.SIGKILL)
        os.kill(service.pid_of("worker_io"), signal.SIGKILL)
        service.wait_for(lambda: service.log("up").count("worker_io runs as process") == 2, "new worker", "up")
        assert f"The embedded valkey server (pid {valkey}) died and runs again" in service.log("up")
        assert {name: service.pid_of(name) for name in others} == others
        up.send_signal(signal.SIGHUP)
        assert up.wait(60) == 0, service.log("up")[-3000:]
        # Workers tell of their lost broker by one; the supervisor's own would stand at the beginning of a line.
        assert not any(line.startswith("Traceback") for line in service.log("up").splitlines())
        assert {server.state for server in EmbeddedServices(service.var_dir).status()} == {"stopped"}


@pytest.mark.end_to_end
def test_a_server_that_had_to_move_is_found_again() -> None:
    with running() as service:
        up = service.start("up", "apps.cli.main", "up")
        ready(service)
        port = next(server.port for server in EmbeddedServices(service.var_dir).status() if server.name == "valkey")
        assert port is not None
        with socket.socket() as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            os.kill(service.pid_of("embedded valkey"), signal.SIGKILL)
            take(squatter, port)
            service.wait_for(lambda: "a server has moved" in service.log("up"), "move", "up")
            ready(service, times=2)
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0, service.log("up")[-3000:]


def take(squatter: socket.socket, port: int) -> None:
    while True:
        try:
            squatter.bind(("127.0.0.1", port))
        except OSError:  # the killed server has not quite ended
            continue
        squatter.listen()
        return


def kill_group(group: int) -> None:
    """Kill a worker with its pool: a child would keep the dead one's connection open, and take messages into it."""
    members = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            if os.getpgid(process.pid) == group:
                members.append(process)
    os.killpg(group, signal.SIGKILL)
    psutil.wait_procs(members, timeout=10)


@pytest.mark.end_to_end
def test_what_a_worker_held_when_everything_was_killed_goes_back_at_the_next_start() -> None:
    with running() as service:
        up = service.start("up", "apps.cli.main", "up")
        ready(service)
        workers = [service.pid_of(name) for name in ("worker_io", "worker_cpu")]
        up.send_signal(signal.SIGKILL)
        up.wait(10)
        for worker in workers:
            kill_group(worker)
        hold_a_message(service, "maintenance")
        again = service.start("again", "apps.cli.main", "up")
        service.wait_for(
            lambda: "worker_io: 1 message(s) that its predecessor held went back" in service.log("again"),
            "message",
            "again",
        )
        service.wait_for(lambda: "worker_io runs as process" in service.log("again"), "worker", "again")
        again.send_signal(signal.SIGINT)
        assert again.wait(60) == 0, service.log("again")[-3000:]
