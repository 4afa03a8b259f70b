"""A RabbitMQ server of one test, from the package of the distribution, where that is installed."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from kombu import Connection
from kombu.exceptions import OperationalError

from packages.infra.embedded.ports import LOOPBACK, choose_port

# Debian's own command changes to the account of the package; this one runs as whoever calls it.
_SERVER: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
# Erlang's directory of nodes.
_EPMD: Final = Path("/usr/bin/epmd")
_PATIENCE_S: Final = 60.0


def why_no_rabbitmq() -> str | None:
    """Why there is none; None if there is one."""
    if _SERVER.is_file() and _EPMD.is_file():
        return None
    return "RabbitMQ is not installed (Debian: rabbitmq-server)"


@contextmanager
def rabbitmq() -> Iterator[str]:
    """The URL of a server with its own data, node and ports, inside the block."""
    directory = Path(tempfile.mkdtemp(prefix="minsy-rabbitmq-"))
    port = choose_port(None)
    environment = {
        **os.environ,
        # Erlang keeps its cookie there.
        "HOME": str(directory),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        # It may be ended while it still thinks that a node lives.
        "ERL_EPMD_RELAXED_COMMAND_CHECK": "true",
        "ERL_EPMD_PORT": str(choose_port(None)),
        "RABBITMQ_NODENAME": f"minsy-{uuid4().hex}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(choose_port(None)),
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
        "RABBITMQ_CONFIG_FILE": str(directory / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
    }
    (directory / "plugins").write_text("[].\n", encoding="utf-8")
    server = subprocess.Popen(
        [str(_SERVER)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # The script starts others; they end with it.
        start_new_session=True,
    )
    url = f"amqp://guest:guest@{LOOPBACK}:{port}//"
    try:
        _wait_for(server, url)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        # It was started by the server as a daemon, and would stay.
        subprocess.run([str(_EPMD), "-kill"], env=environment, capture_output=True, check=False)
        shutil.rmtree(directory, ignore_errors=True)


def _wait_for(server: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with Connection(url, connect_timeout=2) as connection:
                connection.ensure_connection(max_retries=0)
        except OperationalError:
            assert server.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.2)
        else:
            return
