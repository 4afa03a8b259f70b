"""What reads the queues in the fault runs loses nothing itself, and reads nothing twice."""

import json
import threading
from pathlib import Path

import redis

from tests.faults.drain import Drain
from tests.faults.laws import LISTS
from tests.faults.server import Server, serving

RESTARTS = 20
AT = "2026-01-01T00:00:00.000Z"


class Pushing:
    """Puts messages into a list as fast as it can, and knows which of them the server has answered."""

    def __init__(self, server: Server) -> None:
        self.answered: list[str] = []
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._over.wait(0.01):
            with self._server.client() as client:
                try:
                    while not self._over.is_set():
                        number += 1
                        client.lpush(LISTS[0], message(str(number)))
                        self.answered.append(str(number))
                except redis.RedisError:
                    continue


def message(task_id: str) -> str:
    instants = dict.fromkeys(("scheduled_for", "planned_for", "beat_published_at"), AT)
    return json.dumps({"headers": {**instants, "id": task_id, "beat_job": "job", "beat_origin": "schedule"}})


def test_every_message_that_the_server_took_is_read_once_however_often_it_restarts(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        drain = Drain(server.client)
        drain.start()
        pushing = Pushing(server)
        try:
            for _ in range(RESTARTS):
                drain.after(drain.mark() + 1_000)
                server.stop()
                server.start()
        finally:
            pushing.close()
        drain.mark()
        drain.close()
        read = [arrival.task_id for arrival in drain.arrivals]
        assert len(read) == len(set(read))
        assert set(pushing.answered) <= set(read)
