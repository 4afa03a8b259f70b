"""A way to a server that can stop passing on what is sent, as a server does that is stopped or cut off."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Freezable:
    """Passes bytes on between its own port and a server's, unless `is_frozen`.

    Then `swallowed` counts the connections on which somebody has asked for something: each is waited for once.
    """

    def __init__(self, url: str) -> None:
        found = urlsplit(url)
        self._server = (found.hostname or "127.0.0.1", found.port or 6379)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.is_frozen = False
        self._swallowing: set[socket.socket] = set()
        own_port = self._listener.getsockname()[1]
        self.url = found._replace(netloc=f"{found.netloc.rpartition(':')[0]}:{own_port}").geturl()

    @property
    def swallowed(self) -> int:
        return len(self._swallowing)

    def start(self) -> None:
        """Begin."""
        self._in_thread(self._accept)

    def stop(self) -> None:
        """End, and close all that is open."""
        # Closing alone does not wake who waits for it.
        for each in [self._listener, *self._sockets]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()

    def _in_thread(self, target: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._sockets += [client, server]
            self._in_thread(self._pass_on, client, server)
            self._in_thread(self._pass_on, server, client)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        while True:
            try:
                data = source.recv(65_536)
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                if self.is_frozen:
                    self._swallowing.add(source)
                else:
                    target.sendall(data)
            except OSError:
                return


@contextmanager
def freezable(url: str) -> Iterator[Freezable]:
    """A way to the server at `url` that is open inside the block."""
    way = Freezable(url)
    way.start()
    try:
        yield way
    finally:
        way.stop()
