"""A stand-in for Alpaca's market data API on loopback, with answers of the real shape."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest


class AlpacaStub(ThreadingHTTPServer):
    """Answers with the prepared pairs of status and body, one after the other; the last one stays."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, str]] = []
        self.asked: list[tuple[str, dict[str, str], str | None]] = []
        self.stalled = threading.Event()
        self.is_stalling = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def serve_bars(self, symbol: str, *pages: list[dict[str, object]]) -> None:
        """One answer for each page, chained by tokens."""
        for number, page in enumerate(pages, start=1):
            token = f"page-{number}" if number < len(pages) else None
            self.answers.append((200, json.dumps({"bars": {symbol: page}, "next_page_token": token})))


class _Handler(BaseHTTPRequestHandler):
    server: AlpacaStub

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        self.server.asked.append((split.path, query, self.headers.get("APCA-API-KEY-ID")))
        if self.server.is_stalling:
            self.server.stalled.wait(timeout=30)
            return
        answers = self.server.answers
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        payload = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: the tests look at `asked`."""


@pytest.fixture
def alpaca_stub() -> Iterator[AlpacaStub]:
    with AlpacaStub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.stalled.set()
        server.shutdown()
        thread.join()
