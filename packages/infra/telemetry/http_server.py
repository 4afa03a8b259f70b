"""A small HTTP server for probes and metrics, in a thread of its own. It knows no page; whoever starts it does.

It is a side errand: a port that is taken is said in the log, and the process goes on without the pages. What it needs
is imported in its thread, and only when the caller has had its time, so that starting it costs the caller nothing.
"""

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

log = logging.getLogger(__name__)

# A thread that has work to do at once keeps the interpreter for itself before whoever started it goes on.
_CALLER_FIRST_S: Final = 0.05
# Whoever asks and then says nothing is let go.
_CLIENT_WAITS_S: Final = 5.0


class Page(NamedTuple):
    """An answer."""

    status: int
    content_type: str
    body: bytes


class PagesServer:
    """Serves `pages`, by path, at `host` and `port`; 0 is any free port, which the log names.

    `make_pages` is called in the server's thread, once.
    """

    def __init__(self, make_pages: Callable[[], Mapping[str, Callable[[], Page]]], *, host: str, port: int) -> None:
        self._make_pages = make_pages
        self._host = host
        self._port = port
        self._server: ThreadingHTTPServer | None = None
        self._is_stopped = threading.Event()
        self._is_bound = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def start(self) -> None:
        """Begin; returns at once. Only once."""
        self._thread.start()

    def stop(self) -> None:
        """Let go of the port; what is being answered is answered. A second call does nothing."""
        self._is_stopped.set()
        server = self._server
        if server is None:
            return
        # Closing alone does not wake who waits for a connection.
        with suppress(OSError):
            server.socket.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join()

    def bound_port(self, timeout_s: float) -> int | None:
        """The port once it is known; None if it could not be had, or not in time."""
        self._is_bound.wait(timeout_s)
        return None if self._server is None else self._server.server_port

    def _run(self) -> None:
        if self._is_stopped.wait(_CALLER_FIRST_S):
            self._is_bound.set()
            return
        try:
            server = self._server = _make_server(self._host, self._port, self._make_pages())
        except (OSError, OverflowError) as error:
            # As when the other replica of this host has it.
            log.warning("health_port_not_served", extra={"host": self._host, "port": self._port, "error": str(error)})
            return
        finally:
            self._is_bound.set()
        log.info("health_port_served", extra={"host": self._host, "port": server.server_port})
        with server:
            while not self._is_stopped.is_set():
                server.handle_request()


def _make_server(host: str, port: int, pages: Mapping[str, Callable[[], Page]]) -> "ThreadingHTTPServer":
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def server_bind(self) -> None:
            # The one of `http.server` asks the name service for the host's name, which may take seconds.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(self.server_address)
            self.server_address = self.socket.getsockname()
            self.server_name, self.server_port = host, self.server_address[1]

        def handle_error(self, request: object, client_address: object) -> None:
            # Mostly a client that has left; a page that fails answers for itself.
            del request
            log.debug("health_request_failed", extra={"client": str(client_address)})

    class Handler(BaseHTTPRequestHandler):
        timeout = _CLIENT_WAITS_S
        server_version = "minsy"
        sys_version = ""

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            page = _page(pages, self.path.partition("?")[0])
            self.send_response(page.status)
            self.send_header("Content-Type", page.content_type)
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            if with_body:
                self.wfile.write(page.body)

        def log_message(self, *_: Any) -> None:  # noqa: ANN401  # the library's own signature
            """Say nothing: a probe asks every few seconds."""

    return Server((host, port), Handler)


def _page(pages: Mapping[str, Callable[[], Page]], path: str) -> Page:
    make = pages.get(path)
    if make is None:
        return Page(404, "text/plain; charset=utf-8", f"Here are: {' '.join(sorted(pages))}\n".encode())
    try:
        return make()
    except Exception:
        log.exception("health_page_failed", extra={"path": path})
        return Page(500, "text/plain; charset=utf-8", b"This page could not be made; see the log.\n")
