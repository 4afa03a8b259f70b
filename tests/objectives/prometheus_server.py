"""Speaks as much of Prometheus's HTTP API as there is to ask, on a real port, and misbehaves on demand."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

PATH = "/api/v1/query"


class Asked(NamedTuple):
    path: str
    query: str
    authorization: str | None


class Answer(NamedTuple):
    body: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


def answered(result_type: str, result: Any) -> Answer:  # noqa: ANN401  # whatever JSON can hold
    data = {"resultType": result_type, "result": result}
    return Answer(json.dumps({"status": "success", "data": data}).encode())


def vector(*values: str) -> Answer:
    return answered("vector", [{"metric": {"n": str(n)}, "value": [1_700_000_000.5, v]} for n, v in enumerate(values)])


def scalar(value: str) -> Answer:
    return answered("scalar", [1_700_000_000.5, value])


class PrometheusServer:
    """`answer` gives what is sent back on a query, or speaks on the wire itself and returns None."""

    def __init__(self) -> None:
        self.answer: Callable[[str, BaseHTTPRequestHandler], Answer | None] = lambda *_: vector("1")
        self.asked: list[Asked] = []
        self.connections = 0
        # What waits on purpose waits for this; it is set at the end.
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                outer.connections += 1
                super().setup()

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = parse_qs(parts.query).get("query", [""])[0]
                outer.asked.append(Asked(parts.path, query, self.headers.get("Authorization")))
                answer = outer.answer(query, self)
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that has given up."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"

    @contextmanager
    def serving(self) -> Iterator["PrometheusServer"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()
